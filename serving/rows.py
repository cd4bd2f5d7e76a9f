"""What the catalogue holds of each row beside arrays: items and sets of rows, encoded until they are asked for."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from typing import overload

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.items import Item
from embeddings.ann_index import AnnIndex
from serving.columns import NOTHING, Ragged

REMEMBERED = 65_536
"""Decoded items that are kept, some 50 MB: those that are looked at again and again."""

_item = msgspec.msgpack.Decoder(Item)
_encode = msgspec.msgpack.Encoder().encode
_NONE = b""


class Items:
    """The item of each row. Encoded it takes a fifth of the memory, and a snapshot's need not be read at the start."""

    def __init__(self, saved: Ragged = NOTHING) -> None:
        self._saved = saved
        self._rows: dict[int, bytes] = {}
        self._decoded: dict[int, Item | None] = {}

    def __getitem__(self, row: int) -> Item | None:
        """Returns the item of a row; None if it was never described, or deleted."""
        row = int(row)
        try:
            return self._decoded[row]
        except KeyError:
            pass
        raw = self._encoded(row)
        item = _item.decode(raw) if raw else None
        if len(self._decoded) >= REMEMBERED:
            self._decoded = {}
        self._decoded[row] = item
        return item

    def __setitem__(self, row: int, item: Item | None) -> None:
        """Takes the item of a row."""
        self._rows[row] = _encode(item) if item is not None else _NONE
        self._decoded.pop(row, None)

    def put(self, rows: Iterable[int], items: Iterable[Item]) -> None:
        """Takes the items of some rows."""
        self._rows.update(zip(rows, map(_encode, items), strict=True))
        if self._decoded:
            self._decoded = {}

    def frozen(self) -> Callable[[int], bytes]:
        """Returns what gives the item of a row, encoded, as it is now, whatever changes later."""
        rows, saved = self._rows.copy(), self._saved
        return lambda row: _either(rows, saved, row)

    def _encoded(self, row: int) -> bytes:
        return _either(self._rows, self._saved, row)


class RowSets:
    """Sets of rows by name; a snapshot's become sets when they are asked for."""

    def __init__(self, names: Iterable[str] = (), saved: Ragged = NOTHING) -> None:
        self._saved = dict(zip(names, saved, strict=True))
        self._sets: dict[str, set[int]] = {}

    def __getitem__(self, name: str) -> set[int]:
        """Returns a set, which may be changed; an unknown name gets an empty one."""
        found = self._sets.get(name)
        if found is None:
            found = self._sets[name] = set(_rows(self._saved.pop(name, b"")).tolist())
        return found

    def get(self, name: str, default: Iterable[int] = ()) -> Set[int] | Iterable[int]:
        """Returns a set, or the default for an unknown name."""
        return self[name] if name in self._sets or name in self._saved else default

    def frozen(self, names: Iterable[str]) -> Iterator[bytes]:
        """Returns the sets of some names, encoded, as they are now."""
        sets = {name: np.fromiter(rows, "<i4", len(rows)) for name, rows in self._sets.items()}
        saved = self._saved.copy()
        return (np.sort(sets[name]).tobytes() if name in sets else saved.get(name, b"") for name in names)


class Vectors:
    """The vector of each row, as the index holds it; zeros for a row without one."""

    def __init__(self, index: AnnIndex) -> None:
        self._index = index

    @overload
    def __getitem__(self, rows: int | np.integer) -> NDArray[np.float32]: ...
    @overload
    def __getitem__(self, rows: NDArray[np.int64] | list[int] | slice) -> NDArray[np.float32]: ...
    def __getitem__(self, rows: int | np.integer | NDArray[np.int64] | list[int] | slice) -> NDArray[np.float32]:
        """Returns the vector of a row, (D,), or those of several, (some, D)."""
        if isinstance(rows, slice):
            rows = np.arange(rows.start or 0, rows.stop, dtype=np.int64)
        asked = np.asarray(rows, np.int64)
        found = self._index.vectors_of(asked.reshape(-1))
        return found.reshape(*asked.shape, found.shape[1])


def _either(rows: Mapping[int, bytes], saved: Ragged, row: int) -> bytes:
    held = rows.get(row)
    if held is not None:
        return held
    return saved[row] if row < len(saved) else _NONE


def _rows(raw: bytes) -> NDArray[np.int32]:
    return np.frombuffer(raw, "<i4")

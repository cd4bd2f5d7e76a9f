"""Weighted links from each item to others, as arrays that are changed in place."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from serving.columns import NOTHING, Ragged

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]

Kind = TypeVar("Kind", bound=np.generic)

FIRST_LINKS = 4

LATE = 32
"""So many changes of a row wait at most; more of them cost more memory than they save work."""


class Links:
    """The items that one item leads to. A link that is taken away keeps its place with weight 0."""

    __slots__ = ("_places", "_rows", "_weights", "era")

    def __init__(self, era: int = 0, capacity: int = FIRST_LINKS) -> None:
        self.era = era
        self._places: dict[int, int] = {}
        self._rows = np.zeros(capacity, np.int64)
        self._weights = np.zeros(capacity, np.float32)

    @classmethod
    def of(cls, neighbours: Neighbours, era: int = 0) -> "Links":
        """Returns links of one's own to these rows."""
        rows, weights = neighbours
        count = len(rows)
        links = cls(era, FIRST_LINKS + count * 5 // 4)  # with room, as it is going to change
        links._places = dict(zip(rows.tolist(), range(count), strict=True))
        links._rows[:count], links._weights[:count] = rows, weights
        return links

    def put(self, weights: Mapping[int, float]) -> None:
        """Sets the weights of the links to some rows."""
        new = [row for row in weights if row not in self._places]
        if new:
            self._add(new)
        self._weights[[*map(self._places.__getitem__, weights)]] = [*weights.values()]

    def _add(self, rows: list[int]) -> None:
        count = len(self._places)
        end = count + len(rows)
        if end > len(self._rows):
            capacity = max(end, 2 * len(self._rows))
            self._rows, self._weights = _grown(self._rows, capacity), _grown(self._weights, capacity)
        self._places.update(zip(rows, range(count, end), strict=True))
        self._rows[count:end] = rows

    def arrays(self) -> Neighbours:
        """Returns rows (M,) and weights (M,) >= 0, unordered; views that the next `put` may change."""
        count = len(self._places)
        return self._rows[:count], self._weights[:count]


NO_LINKS = Links().arrays()


class Late(dict[int, float]):
    """Weights that have not come into a row's links yet."""

    __slots__ = ("era",)

    def __init__(self, weights: Mapping[int, float], era: int) -> None:
        super().__init__(weights)
        self.era = era


class LinkTable:
    """The links of each row. What a snapshot brought stays encoded until it is changed.

    Changes of a row wait until they are many or somebody asks: nearly all are of rows that nobody asks for meanwhile.
    A snapshot of it costs a copy of two dictionaries: what they hold is copied before it changes.
    """

    def __init__(self, saved: Ragged = NOTHING) -> None:
        self._saved = saved
        self._links: dict[int, Links] = {}
        self._late: dict[int, Late] = {}
        self._era = 0

    def put(self, row: int, other: int, weight: float) -> None:
        """Sets the weight of the link from a row to another."""
        late = self._late.get(row)
        if late is None or late.era != self._era:
            late = self._late[row] = Late(late or {}, self._era)
        late[other] = weight
        if len(late) >= LATE:
            self._take_in(row)

    def put_all(self, row: int, weights: Mapping[int, float]) -> None:
        """Sets the weights of the links from a row to others."""
        if row in self._late:
            self._take_in(row)
        self._own(row).put(weights)

    def of(self, row: int) -> Neighbours:
        """Returns where a row leads to: rows (M,) and weights (M,), unordered."""
        if row in self._late:
            self._take_in(row)
        return _arrays(row, self._links, self._saved)

    def frozen(self) -> Callable[[int], bytes]:
        """Returns what gives the links of a row, encoded, as they are now, whatever changes later."""
        self._era += 1
        links, late, saved = self._links.copy(), self._late.copy(), self._saved

        def encoded(row: int) -> bytes:
            if row in late:
                merged = Links.of(_arrays(row, links, saved))
                merged.put(late[row])
                return _encoded(merged.arrays())
            if row in links:
                return _encoded(links[row].arrays())
            return saved[row] if row < len(saved) else b""

        return encoded

    def _take_in(self, row: int) -> None:
        self._own(row).put(self._late.pop(row))

    def _own(self, row: int) -> Links:
        links = self._links.get(row)
        if links is None or links.era != self._era:
            links = self._links[row] = Links.of(_arrays(row, self._links, self._saved), self._era)
        return links


def _arrays(row: int, links: Mapping[int, Links], saved: Ragged) -> Neighbours:
    own = links.get(row)
    if own is not None:
        return own.arrays()
    return _decoded(saved[row]) if row < len(saved) else NO_LINKS


def _grown(old: NDArray[Kind], capacity: int) -> NDArray[Kind]:
    new = np.zeros(capacity, old.dtype)
    new[: len(old)] = old
    return new


def _encoded(neighbours: Neighbours) -> bytes:
    rows, weights = neighbours
    kept = weights > 0
    return rows[kept].astype("<i4").tobytes() + weights[kept].astype("<f4").tobytes()


def _decoded(raw: bytes) -> Neighbours:
    count = len(raw) // 8
    weights = np.frombuffer(raw, "<f4", count, 4 * count).astype(np.float32, copy=False)
    return np.frombuffer(raw, "<i4", count).astype(np.int64), weights

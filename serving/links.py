"""Weighted links from each item to others, as arrays that are changed in place."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from serving.columns import NOTHING, Ragged

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]

Kind = TypeVar("Kind", bound=np.generic)

FIRST_LINKS = 4


class Links:
    """The items that one item leads to. A link that is taken away keeps its place with weight 0."""

    __slots__ = ("_places", "_rows", "_weights", "era")

    def __init__(self, era: int = 0, capacity: int = FIRST_LINKS) -> None:
        self.era = era
        self._places: dict[int, int] = {}
        self._rows = np.zeros(capacity, np.int64)
        self._weights = np.zeros(capacity, np.float32)

    @classmethod
    def of(cls, neighbours: Neighbours, era: int) -> "Links":
        """Returns links of one's own to these rows."""
        rows, weights = neighbours
        count = len(rows)
        links = cls(era, FIRST_LINKS + count * 5 // 4)  # with room, as it is going to change
        links._places = dict(zip(rows.tolist(), range(count), strict=True))
        links._rows[:count], links._weights[:count] = rows, weights
        return links

    def put(self, row: int, weight: float) -> None:
        """Sets the weight of the link to a row."""
        place = self._places.get(row)
        if place is None:
            place = len(self._places)
            self._reserve(place + 1)
            self._places[row] = place
            self._rows[place] = row
        self._weights[place] = weight

    def put_all(self, weights: Mapping[int, float]) -> None:
        """Sets the weights of the links to some rows."""
        new = [row for row in weights if row not in self._places]
        if new:
            count, end = len(self._places), len(self._places) + len(new)
            self._reserve(end)
            self._places.update(zip(new, range(count, end), strict=True))
            self._rows[count:end] = new
        self._weights[[*map(self._places.__getitem__, weights)]] = [*weights.values()]

    def _reserve(self, count: int) -> None:
        if count > len(self._rows):
            capacity = max(count, 2 * len(self._rows))
            self._rows, self._weights = _grown(self._rows, capacity), _grown(self._weights, capacity)

    def arrays(self) -> Neighbours:
        """Returns rows (M,) and weights (M,) >= 0, unordered; views that the next `put` may change."""
        count = len(self._places)
        return self._rows[:count], self._weights[:count]


NO_LINKS = Links().arrays()


class LinkTable:
    """The links of each row. What a snapshot brought stays encoded until it is changed.

    A snapshot of it costs a copy of one dictionary: links that it holds are copied before they change.
    """

    def __init__(self, saved: Ragged = NOTHING) -> None:
        self._saved = saved
        self._links: dict[int, Links] = {}
        self._era = 0

    def put(self, row: int, other: int, weight: float) -> None:
        """Sets the weight of the link from a row to another."""
        self._own(row).put(other, weight)

    def put_all(self, row: int, weights: Mapping[int, float]) -> None:
        """Sets the weights of the links from a row to others."""
        self._own(row).put_all(weights)

    def of(self, row: int) -> Neighbours:
        """Returns where a row leads to: rows (M,) and weights (M,), unordered."""
        links = self._links.get(row)
        if links is not None:
            return links.arrays()
        return _decoded(self._saved[row]) if row < len(self._saved) else NO_LINKS

    def frozen(self) -> Callable[[int], bytes]:
        """Returns what gives the links of a row, encoded, as they are now, whatever changes later."""
        self._era += 1
        links, saved = self._links.copy(), self._saved

        def encoded(row: int) -> bytes:
            own = links.get(row)
            if own is not None:
                return _encoded(own.arrays())
            return saved[row] if row < len(saved) else b""

        return encoded

    def _own(self, row: int) -> Links:
        links = self._links.get(row)
        if links is None or links.era != self._era:
            links = self._links[row] = Links.of(self.of(row), self._era)
        return links


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

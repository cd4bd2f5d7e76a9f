"""The vectors of an index, in the order in which they came. Rows are written once and never changed.

A replaced or removed vector is only marked dead, so a search may read a view of the rows without a lock
while others add, remove and rebuild. The dead rows go when the rows are compacted.

Vectors lie in two parts: what was there at the start, such as the mapped file of a snapshot, and what came since.
So a start copies nothing, and growing copies the second part only.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)
LEAST_CAPACITY = 1024
GROWTH = 1.5
"""Growing copies every row that came since; by this factor a row is copied twice or so on average."""

PIECE = 65_536
"""Rows copied at once, so that no second copy of all is made."""


@dataclass(frozen=True)
class Wanted:
    """Which rows may be found: (N,)."""

    mask: NDArray[np.bool_]

    @cached_property
    def bits(self) -> NDArray[np.uint8]:
        """The mask, a bit for each row."""
        return np.packbits(self.mask, bitorder="little")

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return int(np.count_nonzero(self.mask))


@dataclass(frozen=True)
class View:
    """The rows of one moment.

    Attributes:
        parts: (A, D) and (B, D) float32, C-contiguous; A + B = N.
        ids: (N,) int64.
        alive: (N,) whether the row still counts; each id is alive at most once.
        longest: an upper bound of the rows' norms; rounding errors of similarities grow with it.
    """

    parts: tuple[NDArray[np.float32], NDArray[np.float32]]
    ids: NDArray[np.int64]
    alive: NDArray[np.bool_]
    longest: float

    @cached_property
    def every(self) -> "Wanted":
        """All rows that count."""
        return Wanted(self.alive)

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the vectors of these rows, (len(rows), D)."""
        return _taken(self.parts, rows)

    def pieces(self, start: int, end: int) -> list[tuple[int, NDArray[np.float32]]]:
        """Returns the vectors of a range of rows, not copied: the first row of each piece, and the piece."""
        first, second = self.parts
        cut = len(first)
        found = [
            (start, first[start : min(end, cut)]),
            (max(start, cut), second[max(start - cut, 0) : max(end - cut, 0)]),
        ]
        return [(at, piece) for at, piece in found if len(piece)]


class Rows:
    """Vectors under ids. Not safe by itself: its owner lets one thread at a time call it."""

    def __init__(self, dimension: int, capacity: int = LEAST_CAPACITY) -> None:
        self._base = np.empty((0, dimension), np.float32)
        self._since = np.empty((capacity, dimension), np.float32)
        self._ids = np.empty(capacity, np.int64)
        self._alive = np.zeros(capacity, np.bool_)
        self._row_of = np.full(capacity, -1, np.int64)  # by id
        self._longest = 0.0
        self._view: View | None = None
        self.count = 0
        self.alive_count = 0

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Appends vectors, each id once; what was under an id is dead from then on.

        A vector that is held already stays where it is: reading a log again must not churn the index.
        """
        if not len(ids):
            return
        self._reserve(self.count + len(ids), int(ids.max()) + 1)
        self._view = None
        held = np.flatnonzero(self._row_of[ids] >= 0)
        if len(held):
            same = (_taken(self._parts(), self._row_of[ids[held]]) == vectors[held]).all(axis=1)
            ids, vectors = np.delete(ids, held[same]), np.delete(vectors, held[same], axis=0)
            self.remove(ids)
        new = np.arange(self.count, self.count + len(ids))
        self._since[new - len(self._base)] = vectors
        self._ids[new], self._alive[new], self._row_of[ids] = ids, True, new
        self.count += len(ids)
        self.alive_count += len(ids)
        self._longest = max(self._longest, longest(vectors))

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Marks the rows of these ids dead; unknown ids are ignored."""
        known = ids[(ids >= 0) & (ids < len(self._row_of))]
        rows = np.unique(self._row_of[known])
        rows = rows[rows >= 0]
        self._view = None
        self._alive[rows] = False
        self._row_of[known] = -1
        self.alive_count -= len(rows)

    def vectors_of(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the vectors under these ids, (len(ids), D); zeros where there is none."""
        within = (ids >= 0) & (ids < len(self._row_of))
        rows = np.where(within, np.take(self._row_of, ids, mode="clip"), -1)
        if self.count and (rows >= 0).all():
            return _taken(self._parts(), rows)
        found = np.zeros((len(ids), self._since.shape[1]), np.float32)
        found[rows >= 0] = _taken(self._parts(), rows[rows >= 0])
        return found

    def view(self) -> View:
        """Returns the rows as they are now; later changes do not show in it."""
        if self._view is None:  # many searches between two changes need but one copy
            rows = slice(self.count)
            self._view = View(self._parts(), self._ids[rows], self._alive[rows].copy(), self._longest)
        return self._view

    @classmethod
    def compacted(cls, view: View) -> "Rows":
        """Returns the rows that were alive, in the same order, with room for a quarter more."""
        alive = np.flatnonzero(view.alive)
        rows = cls(view.parts[0].shape[1], len(alive) * 5 // 4 + LEAST_CAPACITY)
        for start in range(0, len(alive), PIECE):
            piece = alive[start : start + PIECE]
            rows.add(view.ids[piece], view.take(piece))
        return rows

    @classmethod
    def at(cls, ids: NDArray[np.int64], vectors: NDArray[np.float32], longest: float) -> "Rows":
        """Returns rows in the places that they are given in, not copied; a negative id makes a dead one."""
        count, alive = len(ids), np.flatnonzero(ids >= 0)
        rows = cls(vectors.shape[1])
        rows._base, rows.count, rows.alive_count = vectors, count, len(alive)
        rows._ids = _grown(ids, np.empty(count * 5 // 4 + LEAST_CAPACITY, np.int64))
        rows._alive = _grown(ids >= 0, np.zeros(len(rows._ids), np.bool_))
        rows._row_of = np.full(int(ids.max(initial=-1)) * 5 // 4 + LEAST_CAPACITY, -1, np.int64)
        rows._row_of[ids[alive]] = alive
        rows._longest = longest
        return rows

    def _parts(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self._base, self._since[: self.count - len(self._base)]

    def _reserve(self, rows: int, ids: int) -> None:
        since = rows - len(self._base)
        if since > len(self._since):
            capacity = max(since, int(len(self._since) * GROWTH))
            self._since = _grown(self._since, np.empty((capacity, self._since.shape[1]), np.float32))
        if rows > len(self._ids):
            capacity = max(rows, int(len(self._ids) * GROWTH))
            self._ids = _grown(self._ids, np.empty(capacity, np.int64))
            self._alive = _grown(self._alive, np.zeros(capacity, np.bool_))
        if ids > len(self._row_of):
            capacity = max(ids, int(len(self._row_of) * GROWTH))
            self._row_of = _grown(self._row_of, np.full(capacity, -1, np.int64))


def _taken(parts: tuple[NDArray[np.float32], NDArray[np.float32]], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    first, second = parts
    if not len(first):
        return second.take(rows, axis=0)
    if not len(second):
        return first.take(rows, axis=0)
    early = rows < len(first)
    taken = np.empty((len(rows), first.shape[1]), np.float32)
    taken[early], taken[~early] = first[rows[early]], second[rows[~early] - len(first)]
    return taken


def longest(vectors: NDArray[np.float32]) -> float:
    """Returns the largest norm of the rows; 0 of none."""
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))


def _grown(old: NDArray[Kind], new: NDArray[Kind]) -> NDArray[Kind]:
    new[: len(old)] = old
    return new

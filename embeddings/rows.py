"""The vectors of an index, in the order in which they came. Rows are written once and never changed.

A replaced or removed vector is only marked dead, so a search may read a view of the rows without a lock
while others add, remove and rebuild. The dead rows go when the rows are compacted.
"""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Kind = TypeVar("Kind", bound=np.generic)
LEAST_CAPACITY = 1024
GROWTH = 1.5
"""Growing copies every row; by this factor a row is copied twice or so on average."""


@dataclass(frozen=True)
class View:
    """The rows of one moment.

    Attributes:
        vectors: (N, D) float32, C-contiguous.
        ids: (N,) int64.
        alive: (N,) whether the row still counts; each id is alive at most once.
        longest: an upper bound of the rows' norms; rounding errors of similarities grow with it.
    """

    vectors: NDArray[np.float32]
    ids: NDArray[np.int64]
    alive: NDArray[np.bool_]
    longest: float


class Rows:
    """Vectors under ids. Not safe by itself: its owner lets one thread at a time call it."""

    def __init__(self, dimension: int, capacity: int = LEAST_CAPACITY) -> None:
        self._vectors = np.empty((capacity, dimension), np.float32)
        self._ids = np.empty(capacity, np.int64)
        self._alive = np.zeros(capacity, np.bool_)
        self._row_of = np.full(capacity, -1, np.int64)  # by id
        self._longest = 0.0
        self.count = 0
        self.alive_count = 0

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Appends vectors, each id once; what was under an id is dead from then on.

        A vector that is held already stays where it is: reading a log again must not churn the index.
        """
        if not len(ids):
            return
        self._reserve(self.count + len(ids), int(ids.max()) + 1)
        old = self._row_of[ids]
        changed = (old < 0) | (self._vectors[old] != vectors).any(axis=1)
        ids, vectors = ids[changed], vectors[changed]
        self.remove(ids)
        new = np.arange(self.count, self.count + len(ids))
        self._vectors[new], self._ids[new], self._alive[new], self._row_of[ids] = vectors, ids, True, new
        self.count += len(ids)
        self.alive_count += len(ids)
        self._longest = max(self._longest, _longest(vectors))

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Marks the rows of these ids dead; unknown ids are ignored."""
        known = ids[(ids >= 0) & (ids < len(self._row_of))]
        rows = np.unique(self._row_of[known])
        rows = rows[rows >= 0]
        self._alive[rows] = False
        self._row_of[known] = -1
        self.alive_count -= len(rows)

    def view(self) -> View:
        """Returns the rows as they are now; later changes do not show in it."""
        rows = slice(self.count)
        return View(self._vectors[rows], self._ids[rows], self._alive[rows].copy(), self._longest)

    @classmethod
    def compacted(cls, view: View) -> "Rows":
        """Returns the rows that were alive, in the same order, with room for a quarter more."""
        alive = np.flatnonzero(view.alive)
        rows = cls(view.vectors.shape[1], len(alive) * 5 // 4 + LEAST_CAPACITY)
        for start in range(0, len(alive), 65_536):  # in pieces, so that no second copy of all is made
            piece = alive[start : start + 65_536]
            rows.add(view.ids[piece], view.vectors[piece])
        return rows

    @classmethod
    def at(cls, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> "Rows":
        """Returns rows in the places that they are given in, with room for more; a negative id makes a dead one."""
        count, alive = len(ids), np.flatnonzero(ids >= 0)
        rows = cls(vectors.shape[1], max(count, int(ids.max(initial=-1)) + 1) * 5 // 4 + LEAST_CAPACITY)
        rows._vectors[:count], rows._ids[:count], rows._alive[:count] = vectors, ids, ids >= 0
        rows._row_of[ids[alive]] = alive
        rows.count, rows.alive_count, rows._longest = count, len(alive), _longest(rows._vectors[:count])
        return rows

    def _reserve(self, rows: int, ids: int) -> None:
        if rows > len(self._ids):
            capacity = max(rows, int(len(self._ids) * GROWTH))
            self._vectors = _grown(self._vectors, np.empty((capacity, self._vectors.shape[1]), np.float32))
            self._ids = _grown(self._ids, np.empty(capacity, np.int64))
            self._alive = _grown(self._alive, np.zeros(capacity, np.bool_))
        if ids > len(self._row_of):
            capacity = max(ids, int(len(self._row_of) * GROWTH))
            self._row_of = _grown(self._row_of, np.full(capacity, -1, np.int64))


def _longest(vectors: NDArray[np.float32]) -> float:
    return float(np.sqrt(np.einsum("nd,nd->n", vectors, vectors).max(initial=0.0)))


def _grown(old: NDArray[Kind], new: NDArray[Kind]) -> NDArray[Kind]:
    new[: len(old)] = old
    return new

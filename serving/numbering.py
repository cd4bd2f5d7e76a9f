"""Numbers for rows without sorting them: marks in an array by row, written and read at once. And quick orders."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
_PLACE = 31
"""Bits of a row or a place below what it is sorted by: NumPy sorts one array of whole numbers the quickest."""


class Numbering:
    """Finds distinct rows and their places. One thread at a time: what is in the marks means nothing between calls."""

    def __init__(self) -> None:
        self._marks = np.zeros(1024, np.int32)

    def distinct(self, rows: Rows) -> Rows:
        """Returns the distinct ones of (L,) rows, each where it first came: (U,)."""
        marks, order = self._over(rows), np.arange(len(rows), dtype=np.int32)
        marks[rows[::-1]] = order[::-1]  # of several assignments to one place the last stays
        found: Rows = rows[marks.take(rows) == order]
        return found

    def places(self, known: Rows, rows: Rows) -> Rows:
        """Returns where each of (C,) rows stands among (U,) distinct ones: (C,), -1 for those that do not."""
        if not len(known):
            return np.full(len(rows), -1)
        marks = self._over(known)
        marks[known] = np.arange(len(known), dtype=np.int32)
        within = np.minimum(rows, len(marks) - 1)
        places = np.minimum(marks.take(within), len(known) - 1)  # a mark may be left from another call
        return np.where(known.take(places) == rows, places, -1)

    def _over(self, rows: Rows) -> NDArray[np.int32]:
        most = int(rows.max(initial=0))
        if most >= len(self._marks):
            self._marks = np.zeros(2 * most, np.int32)
        return self._marks


def by_tie(rows: Rows, tie: NDArray[np.uint32]) -> Rows:
    """Returns (C,) distinct rows in the order of (C,) numbers, equal ones by row."""
    return _ordered(rows, tie.astype(np.int64))


def best_first(scores: NDArray[np.float32]) -> Rows:
    """Returns the places of (C,) finite scores, the highest first, equal ones as they come: (C,)."""
    numbers = (np.float32(0) - scores).view(np.int32).astype(np.int64)
    numbers ^= (numbers >> 31) & 0x7FFFFFFF  # bits of a negative number rise as it falls
    return _ordered(np.arange(len(scores)), numbers)


def _ordered(places: Rows, numbers: NDArray[np.int64]) -> Rows:
    """Returns (C,) places by (C,) numbers of 32 bits and a sign, which are changed, equal ones by place."""
    numbers <<= _PLACE
    numbers |= places
    numbers.sort()
    numbers &= (1 << _PLACE) - 1
    return numbers

"""Numbers for rows without sorting them: marks in an array by row, written and read at once."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


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

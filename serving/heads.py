"""The highest values of a growing array, kept while it changes, so that no request looks through it whole."""

import numpy as np
from numpy.typing import NDArray

KEPT = 500
"""At least so many of the highest are known."""


class Head:
    """The rows with the highest values. Values mostly rise, as decayed counts at a common moment do.

    A row whose value falls stays, with that value; what lies below the head meanwhile is not looked at.

    Attributes:
        floor: what is not above it is not looked at.
    """

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._rows = np.zeros(2 * KEPT, np.int64)
        self._values = np.full(2 * KEPT, -np.inf)
        self.floor = -np.inf
        self._top: tuple[int, NDArray[np.int64]] | None = None

    @classmethod
    def of(cls, values: NDArray[np.float64]) -> "Head":
        """Returns the head of values that are there already: (N,), by row."""
        head = cls()
        rows = np.flatnonzero(np.isfinite(values))
        if len(rows) > 2 * KEPT:
            rows = rows[np.argpartition(-values[rows], KEPT)[:KEPT]]
        for row in rows.tolist():
            head.put(row, float(values[row]))
        if len(rows) == KEPT:
            head.floor = float(values[rows].min())
        return head

    def put(self, row: int, value: float) -> None:
        """Takes a row's new value."""
        place = self._places.get(row)
        if place is None:
            if value <= self.floor:
                return
            if len(self._places) == len(self._rows):
                self._shrink()
            place = self._places[row] = len(self._places)
            self._rows[place] = row
        self._values[place] = value
        self._top = None

    def drop(self, row: int) -> None:
        """Forgets a row whose value fell, as after a deletion; what lies below the head is not brought back."""
        if row in self._places:
            self._values[self._places[row]] = -np.inf
            self._top = None

    def top(self, limit: int) -> NDArray[np.int64]:
        """Returns the rows of the highest finite values, the highest first, equal ones by their row; at most KEPT."""
        limit = min(limit, KEPT)
        if self._top is None or self._top[0] < limit:
            self._top = limit, self._highest(limit)
        return self._top[1][:limit]

    def _highest(self, limit: int) -> NDArray[np.int64]:
        count = len(self._places)
        rows, values = self._rows[:count], self._values[:count]
        if count > limit > 0:  # half of the time that it takes to sort all
            high = values >= np.partition(values, count - limit)[count - limit]
            rows, values = rows[high], values[high]
        order = np.lexsort((rows, -values))
        best: NDArray[np.int64] = rows[order[np.isfinite(values[order])]][:limit]
        return best

    def _shrink(self) -> None:
        kept = np.argsort(-self._values, kind="stable")[:KEPT]
        rows, values = self._rows[kept], self._values[kept]
        self._places = {int(row): place for place, row in enumerate(rows)}
        self._rows[:KEPT], self._values[:KEPT] = rows, values
        self.floor = float(values[-1])

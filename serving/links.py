"""Weighted links from one item to others, as arrays that are changed in place."""

import numpy as np
from numpy.typing import NDArray

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]

FIRST_LINKS = 4


class Links:
    """The items that one item leads to. A link that is taken away keeps its place with weight 0."""

    __slots__ = ("_places", "_rows", "_weights")

    def __init__(self) -> None:
        self._places: dict[int, int] = {}
        self._rows = np.zeros(FIRST_LINKS, np.int64)
        self._weights = np.zeros(FIRST_LINKS, np.float32)

    def put(self, row: int, weight: float) -> None:
        """Sets the weight of the link to a row."""
        place = self._places.get(row)
        if place is None:
            if weight <= 0:
                return
            place = self._places[row] = len(self._places)
            if place == len(self._rows):
                self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)])
                self._weights = np.concatenate([self._weights, np.zeros_like(self._weights)])
            self._rows[place] = row
        self._weights[place] = weight

    def arrays(self) -> Neighbours:
        """Returns rows (M,) and weights (M,) >= 0, unordered; views that the next `put` may change."""
        count = len(self._places)
        return self._rows[:count], self._weights[:count]

"""Which items are among the tenth that trends, overall and in each category, without counting them each time."""

import numpy as np
from numpy.typing import NDArray

from serving.catalogue import Catalogue

SHARE = 10
"""One in so many trends."""

COUNTED_ANEW = 1_000
"""A category of so many items is counted again after each change, a larger one after as many changes as a tenth of the
catalogue has items: then a tenth of its own are likely to have changed. While less than a tenth of it was ever touched,
after changes to a tenth of it."""


class Trending:
    """Remembers the lowest value that trends."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._floors: dict[str | None, tuple[float, int, int]] = {}

    def floor(self, category: str | None, values: NDArray[np.float64], changes: int) -> float:
        """Returns the value from which on an item of a category trends; None: of the catalogue.

        Args:
            category: whose.
            values: (N,) how much each row is touched, -inf for never.
            changes: how often values have changed so far.
        """
        catalogue = self._catalogue
        size = len(catalogue.by_category[category]) if category is not None else len(catalogue)
        known = self._floors.get(category)
        if known is not None and known[1] == size:
            often = len(catalogue) if np.isfinite(known[0]) else size
            if changes == known[2] or (size > COUNTED_ANEW and changes - known[2] < often // SHARE):
                return known[0]
        rivals = values[: len(catalogue)]
        if category is not None:
            rivals = values[np.fromiter(catalogue.by_category[category], np.int64)]
        place = max(1, size // SHARE)
        floor = float(-np.partition(-rivals, place - 1)[place - 1]) if size else np.inf
        self._floors[category] = floor, size, changes
        return floor

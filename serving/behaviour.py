"""What the partitions' signals add up to: popularity of each item, and what users go on to from it."""

from collections import defaultdict

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.signals import POPULARITY_HALF_LIVES_DAYS, ItemSignals
from serving.catalogue import FIRST_CAPACITY, Catalogue

Neighbours = tuple[NDArray[np.int64], NDArray[np.float32]]
_NONE: Neighbours = (np.empty(0, np.int64), np.empty(0, np.float32))


class Behaviour:
    """Sums of the shares that the owners of the partitions write.

    Attributes:
        popularity: (H, capacity) float64: log2 of each item's decayed count at one common, arbitrary moment
            (so no clock is needed to compare them), one row a half life; -inf for an item without any.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._shares: dict[int, dict[int, ItemSignals]] = defaultdict(dict)
        self._successors: dict[int, dict[int, float]] = defaultdict(dict)
        self._arrays: dict[int, Neighbours] = {}
        self.popularity = np.full((len(POPULARITY_HALF_LIVES_DAYS), FIRST_CAPACITY), -np.inf)

    def put(self, item_id: str, partition: int, share: ItemSignals | None) -> None:
        """Takes one partition's share of an item's signals; a share older than the one held is left out."""
        row = self._catalogue.row(item_id)
        shares = self._shares[row]
        before = shares.get(partition)
        if share is None:
            shares.pop(partition, None)
        elif before is not None and share.position < before.position:
            return
        else:
            shares[partition] = share
        self._sum_popularity(row)
        self._sum_successors(row, before.before if before else {}, share.before if share else {})

    def successors(self, row: int) -> Neighbours:
        """Returns the items that users touched after this one: rows (M,) and weights (M,), unordered."""
        if row not in self._successors:
            return _NONE
        cached = self._arrays.get(row)
        if cached is None:
            weights = self._successors[row]
            cached = (
                np.fromiter(weights.keys(), np.int64, len(weights)),
                np.fromiter(weights.values(), np.float32, len(weights)),
            )
            self._arrays[row] = cached
        return cached

    def shares(self) -> dict[int, dict[int, ItemSignals]]:
        """The shares by row and partition; for the state hash."""
        return self._shares

    def _sum_popularity(self, row: int) -> None:
        while row >= self.popularity.shape[1]:
            self.popularity = np.concatenate([self.popularity, np.full_like(self.popularity, -np.inf)], axis=1)
        for index, days in enumerate(POPULARITY_HALF_LIVES_DAYS):
            logs = [
                np.log2(share.counts[index]) + share.as_of_ms / (days * DAY_MS)
                for _, share in sorted(self._shares[row].items())  # so that every replica adds in one order
                if share.counts[index] > 0
            ]
            self.popularity[index, row] = np.logaddexp2.reduce(logs) if logs else -np.inf

    def _sum_successors(self, row: int, before: dict[str, float], after: dict[str, float]) -> None:
        for item_id in before.keys() | after.keys():
            if before.get(item_id) == after.get(item_id):
                continue
            earlier = self._catalogue.row(item_id)
            # Summed afresh, not by differences: those would drift, and two replicas would differ.
            weight = sum(share.before.get(item_id, 0.0) for _, share in sorted(self._shares[row].items()))
            if weight > 0:
                self._successors[earlier][row] = weight
            else:
                self._successors[earlier].pop(row, None)
            self._arrays.pop(earlier, None)

"""The rows of ids that are known by a hash, many looked up at once."""

import numpy as np
from numpy.typing import NDArray

FIRST_SLOTS = 2**12


class IdTable:
    """Rows by hash, in slots: a hash lies in the slot that its last bits name, or in the next that was free."""

    def __init__(self) -> None:
        self._hashes = np.zeros(FIRST_SLOTS, np.uint64)
        self._rows = np.full(FIRST_SLOTS, -1, np.int32)
        self._count = 0

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Returns the row of each hash, -1 for one that is not known."""
        return self._rows[self._slots(hashes)]

    def add(self, hashes: NDArray[np.uint64], rows: NDArray[np.int32]) -> None:
        """Takes the rows of hashes that are not known, each once."""
        self._count += len(hashes)
        if 2 * self._count > len(self._rows):
            known = self._rows >= 0
            hashes = np.concatenate([self._hashes[known], hashes])
            rows = np.concatenate([self._rows[known], rows])
            size = 1 << (4 * self._count).bit_length()
            self._hashes, self._rows = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
        while len(hashes):
            slots = self._slots(hashes)
            self._hashes[slots], self._rows[slots] = hashes, rows  # of several in one slot the last lies there
            left = self._hashes[slots] != hashes
            hashes, rows = hashes[left], rows[left]

    def _slots(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Returns where hashes lie, or would."""
        last = np.int64(len(self._rows) - 1)
        slots = hashes.view(np.int64) & last
        other = np.flatnonzero((self._hashes[slots] != hashes) & (self._rows[slots] >= 0))
        while len(other):
            slots[other] = (slots[other] + 1) & last
            there = slots[other]
            other = other[(self._hashes[there] != hashes[other]) & (self._rows[there] >= 0)]
        return slots

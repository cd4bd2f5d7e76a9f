"""The rows of ids that are known by a hash, many looked up at once."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled

FIRST_SLOTS = 2**12


class IdTable:
    """Rows by hash, in slots: a hash lies in the slot that its last bits name, or in the next that was free."""

    def __init__(self) -> None:
        self._hashes = np.zeros(FIRST_SLOTS, np.uint64)
        self._rows = np.full(FIRST_SLOTS, -1, np.int32)
        self._count = 0

    def find(self, hashes: NDArray[np.uint64]) -> NDArray[np.int32]:
        """Returns the row of each hash, -1 for one that is not known."""
        found: NDArray[np.int32] = self._rows.take(_slots(hashes, self._hashes, self._rows))
        return found

    def add(self, hashes: NDArray[np.uint64], rows: NDArray[np.int32]) -> None:
        """Takes the rows of hashes that are not known, each once."""
        self._count += len(hashes)
        if 2 * self._count > len(self._rows):
            known = self._rows >= 0
            hashes = np.concatenate([self._hashes[known], hashes])
            rows = np.concatenate([self._rows[known], rows])
            size = 1 << (4 * self._count).bit_length()
            self._hashes, self._rows = np.zeros(size, np.uint64), np.full(size, -1, np.int32)
        _put(hashes, rows, self._hashes, self._rows)


@compiled("int64[::1](uint64[::1], uint64[::1], int32[::1])")
def _slots(hashes: Any, held: Any, rows: Any) -> Any:  # noqa: ANN401
    """Returns where hashes lie, or would."""
    found, last = np.empty(len(hashes), np.int64), len(rows) - 1
    for at in range(len(hashes)):
        slot = np.int64(hashes[at]) & last
        while rows[slot] >= 0 and held[slot] != hashes[at]:
            slot = (slot + 1) & last
        found[at] = slot
    return found


@compiled("void(uint64[::1], int32[::1], uint64[::1], int32[::1])")
def _put(hashes: Any, new: Any, held: Any, rows: Any) -> None:  # noqa: ANN401
    """Puts hashes and their rows into slots."""
    last = len(rows) - 1
    for at in range(len(hashes)):
        slot = np.int64(hashes[at]) & last
        while rows[slot] >= 0:
            slot = (slot + 1) & last
        held[slot], rows[slot] = hashes[at], new[at]

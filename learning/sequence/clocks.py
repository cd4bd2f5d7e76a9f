"""How long ago, as the sequence model sees it. Training (torch) and serving (NumPy) both call these."""

import numpy as np
from numpy.typing import NDArray

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000

GAP_EDGES_MS = np.array(
    [MINUTE_MS, 10 * MINUTE_MS, HOUR_MS, 6 * HOUR_MS, DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 30 * DAY_MS, 90 * DAY_MS]
)
"""Bounds between kinds of pauses: the same page, the same sitting, the same day, and so on. Everything under a
minute is one kind, because logs differ in how they round their clocks."""

GAPS = len(GAP_EDGES_MS) + 1


def gap_kind(pause_ms: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns the kind of each pause, 0 to GAPS - 1, in the same shape. A clock that jumps back counts as no pause."""
    return np.searchsorted(GAP_EDGES_MS, pause_ms, side="right")


def log_age(age_ms: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns log(1 + age in hours) in the same shape, float32; 0 for what lies ahead."""
    aged: NDArray[np.float32] = np.log1p(np.maximum(age_ms, 0).astype(np.float32) / np.float32(HOUR_MS))
    return aged

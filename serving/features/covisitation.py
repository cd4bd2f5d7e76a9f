"""How strongly the user's recent items lead to an item, and it to them, over each horizon."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query

NAMES = (
    *("after_taste", "after_sitting", "after_last"),
    *("after_taste_lift", "after_sitting_lift", "after_last_lift"),
    *("before_taste", "before_sitting", "before_last"),
    *("before_taste_lift", "before_sitting_lift", "before_last_lift"),
)
_SCALES = np.array([1, 20, 1, 20], np.float32)[:, None, None]
"""Bring lifts to where log1p bends, as strengths are."""


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns log1p of strengths and of lifts, forward, then backward; zeros without a history."""
    if not query.recent:
        return np.zeros((len(NAMES), len(rows)), np.float32)
    scaled: NDArray[np.float32] = (query.led(rows) * _SCALES).reshape(len(NAMES), len(rows))
    scaled += 1  # and not log1p, which takes six times as long: what it tells apart beyond that no ranker sees
    np.log(scaled, out=scaled)
    return scaled

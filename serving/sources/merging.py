"""What sources share: the best of an array, and several rankings merged into one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def best(strengths: NDArray[np.float32], limit: int) -> Rows:
    """Returns the places of the highest positive strengths, the highest first, at most `limit`."""
    rows = np.flatnonzero(strengths > 0)
    if len(rows) > limit:
        rows = rows[np.argpartition(-strengths[rows], limit)[:limit]]
    ordered: Rows = rows[np.argsort(-strengths[rows], kind="stable")]
    return ordered


def in_turn(rankings: Sequence[Rows], limit: int) -> Rows:
    """Takes the first of each ranking, then the second of each, ...: at most `limit` distinct rows."""
    longest = max((len(one) for one in rankings), default=0)
    if not longest:
        return np.empty(0, np.int64)
    padded = np.full((longest, len(rankings)), -1, np.int64)
    for at, one in enumerate(rankings):
        padded[: len(one), at] = one
    flat = padded[padded >= 0]
    _, first = np.unique(flat, return_index=True)
    distinct: Rows = flat[np.sort(first)]
    return distinct[:limit]

"""What others went on to from the user's most recent items."""

import numpy as np
from numpy.typing import NDArray

from learning.signals import LAG_DECAY
from serving.query import Query


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the strongest successors of the user's recent items; none for a user without a history."""
    strength = strengths(query)
    rows = np.flatnonzero(strength > 0)
    if len(rows) > limit:
        rows = rows[np.argpartition(-strength[rows], limit)[:limit]]
    best: NDArray[np.int64] = rows[np.argsort(-strength[rows], kind="stable")]
    return best


def strengths(query: Query) -> NDArray[np.float32]:
    """Returns, for every row, how strongly the user's recent items lead to it: (N,) float32, >= 0.

    The item `lag` steps back counts LAG_DECAY to the power of lag, as it did when the signals were learned.
    """
    total = np.zeros(len(query.model.catalogue), np.float32)
    for lag, at in enumerate(query.recent):
        rows, weights = query.model.behaviour.successors(int(query.rows[at]))
        total[rows] += weights * np.float32(LAG_DECAY**lag)
    return total

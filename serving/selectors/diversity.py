"""Maximal marginal relevance: a slate that does not say the same thing ten times (Carbonell & Goldstein, 1998)."""

import numpy as np
from numpy.typing import NDArray

POOL = 10
"""Choose among the best POOL pages of candidates: further down, relevance is too low to be worth it."""


def select(
    scores: NDArray[np.float32], vectors: NDArray[np.float32], wanted: int, diversity: float, page: int
) -> NDArray[np.int64]:
    """Picks a slate, one item at a time: relevance against likeness to what was picked already.

    Args:
        scores: (C,) descending, finite.
        vectors: (C, D) unit rows, zero for an item without a text, which resembles nothing.
        wanted: how many to pick.
        diversity: 0 keeps the order of the scores; 1 looks at likeness alone.
        page: how many are shown at once; with the same, what fewer are picked is the beginning of what more are.

    Returns:
        (min(wanted, C, POOL x page),) places, in the order of the slate. Ties go to the better ranked.
    """
    pool = min(len(scores), page * POOL)
    if diversity <= 0 or pool <= 1:
        return np.arange(min(wanted, len(scores)))
    low, high = float(scores[pool - 1]), float(scores[0])
    relevance = (scores[:pool] - low) / (high - low) if high > low else np.ones(pool, np.float32)
    likeness = np.zeros(pool, np.float32)
    left = np.ones(pool, np.bool_)
    picked: list[int] = []
    while len(picked) < min(wanted, pool):
        marginal = np.where(left, (1 - diversity) * relevance - diversity * likeness, -np.inf)
        best = int(np.argmax(marginal))
        picked.append(best)
        left[best] = False
        likeness = np.maximum(likeness, vectors[:pool] @ vectors[best])
    return np.array(picked, np.int64)

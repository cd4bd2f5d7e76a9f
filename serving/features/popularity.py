"""How often an item is touched, the past decaying, as a share of the most popular candidate's."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the mean over the half lives of (decayed count / the highest candidate's) ^ 1/2; 0 for none.

    The root keeps the middle of the field apart: counts fall off like a power law.
    """
    logs = query.model.behaviour.popularity[:, rows]
    highest = logs.max(axis=1, keepdims=True, initial=-np.inf)
    highest[~np.isfinite(highest)] = 0.0
    shares: NDArray[np.float64] = np.exp2((logs - highest) / 2)
    mean: NDArray[np.float32] = shares.mean(axis=0).astype(np.float32)
    return mean

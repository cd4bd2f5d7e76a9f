"""Takes out items whose `expires_at` has come, and those whose `published_at` has not."""

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from serving.query import Query


def keep(query: Query, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns True for items whose time this is."""
    catalogue = query.model.catalogue
    kept: NDArray[np.bool_] = _within(query.now_ms, catalogue.published_ms, catalogue.expires_ms, rows)
    return kept


@compiled("(int64, int64[::1], int64[::1], int64[::1])")
def _within(
    now_ms: int, published_ms: NDArray[np.int64], expires_ms: NDArray[np.int64], rows: NDArray[np.int64]
) -> NDArray[np.bool_]:
    kept = np.empty(len(rows), np.bool_)
    for at in range(len(rows)):
        kept[at] = published_ms[rows[at]] <= now_ms < expires_ms[rows[at]]
    return kept

"""Takes out what cannot be had: deleted items, items said to be unavailable, items never described."""

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from serving.query import Query


def keep(query: Query, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns True for items that exist and are available."""
    kept: NDArray[np.bool_] = _both(query.model.catalogue.live, query.model.catalogue.available, rows)
    return kept


@compiled("(boolean[::1], boolean[::1], int64[::1])")
def _both(live: NDArray[np.bool_], available: NDArray[np.bool_], rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    kept = np.empty(len(rows), np.bool_)
    for at in range(len(rows)):
        kept[at] = live[rows[at]] and available[rows[at]]
    return kept

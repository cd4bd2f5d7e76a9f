"""Items that are new, whom no behaviour can have found yet: close to the user's interests, or just the newest."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from serving.query import Query


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns items published within `fresh_days`, the closest to the user first, or the newest."""
    catalogue = query.model.catalogue
    n = len(catalogue)
    since = query.now_ms - query.model.settings.fresh_days * DAY_MS
    published = catalogue.published_ms[:n]
    rows = np.flatnonzero(catalogue.live[:n] & (published >= since) & (published <= query.now_ms))
    if len(query.interests) and len(rows):
        order = np.argsort(-(catalogue.vectors[rows] @ query.interests.T).max(axis=1), kind="stable")
    else:
        order = np.argsort(-published[rows], kind="stable")
    best: NDArray[np.int64] = rows[order[:limit]]
    return best

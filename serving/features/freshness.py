"""Newness, for those whom a new item's text suits."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from serving.features import similarity
from serving.query import Query

STRANGERS_SHARE = 0.25
"""Less than what popularity says of the well-liked, so that a stranger's slate is not all news."""


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns 1 for an item published now, falling to 0 over `fresh_days`, times its closeness to the user.

    Without a history nothing says whom a new item suits: newness alone counts, at STRANGERS_SHARE.
    """
    age_days = (query.now_ms - query.model.catalogue.published_ms[rows]) / DAY_MS
    newness = np.clip(1 - age_days / query.model.settings.fresh_days, 0, 1).astype(np.float32)
    newness[age_days < 0] = 0
    if not len(query.interests):
        return newness * np.float32(STRANGERS_SHARE)
    return newness * similarity.compute(query, rows)

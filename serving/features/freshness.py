"""Newness, for those whom a new item's text suits."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from serving.features import similarity
from serving.query import Query


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns 1 for an item published now, falling to 0 over `fresh_days`, times its closeness to the user.

    Without a history closeness says nothing and newness alone counts.
    """
    age_days = (query.now_ms - query.model.catalogue.published_ms[rows]) / DAY_MS
    newness = np.clip(1 - age_days / query.model.settings.fresh_days, 0, 1).astype(np.float32)
    newness[age_days < 0] = 0
    return newness * similarity.compute(query, rows) if len(query.interests) else newness

"""Takes out items whose `expires_at` has come, and those whose `published_at` has not."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def keep(query: Query, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns True for items whose time this is."""
    catalogue = query.model.catalogue
    return (catalogue.expires_ms.take(rows) > query.now_ms) & (catalogue.published_ms.take(rows) <= query.now_ms)

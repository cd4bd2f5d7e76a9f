"""Takes out what cannot be had: deleted items, items said to be unavailable, items never described."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def keep(query: Query, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns True for items that exist and are available."""
    catalogue = query.model.catalogue
    return catalogue.live.take(rows) & catalogue.available.take(rows)

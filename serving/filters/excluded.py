"""Takes out what the request names in `exclude`."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def keep(query: Query, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns True for what the request does not exclude; ids that nobody knows exclude nothing."""
    if not query.exclude:
        return np.ones(len(rows), np.bool_)
    known = query.model.catalogue.rows
    return ~np.isin(rows, [known[one] for one in query.exclude if one in known])

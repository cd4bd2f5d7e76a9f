"""What the sequence model expects next."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query
from serving.sources.merging import untouched


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the items that the model scores highest; none without a model or a history."""
    expected = query.sequence
    if expected is None or not query.recent:
        return np.empty(0, np.int64)
    return untouched(query, expected.space.index, expected.user[None], limit, limit)

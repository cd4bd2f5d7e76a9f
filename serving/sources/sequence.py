"""What the sequence model expects next."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the items that the model scores highest; none without a model or a history."""
    expected = query.sequence
    if expected is None or not query.recent:
        return np.empty(0, np.int64)
    allowed = query.model.catalogue.live[: len(query.model.catalogue)].copy()
    allowed[query.rows[query.rows >= 0]] = False
    _, rows = expected.space.index.search(expected.user[None], limit, allowed)
    found: NDArray[np.int64] = rows[0][rows[0] >= 0]
    return found

"""What others touched after and before the user's most recent items."""

import numpy as np
from numpy.typing import NDArray

from serving.covisits import SITTING, TASTE, lifted
from serving.query import Query
from serving.sources.merging import best, in_turn


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns three lists in turn: after the sitting; after the taste and before the sitting, both by lift."""
    if not query.recent:
        return np.empty(0, np.int64)
    found, counts = query.covisits, query.model.behaviour.counts(query.now_ms)
    return in_turn(
        [
            best(found.forward[:, SITTING], limit),
            best(lifted(found.forward[:, [TASTE]], counts)[:, 0], limit),
            best(lifted(found.backward[:, [SITTING]], counts)[:, 0], limit),
        ],
        3 * limit,
    )

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
    model, found = query.model, query.covisits
    new = np.flatnonzero(query.unseen(found.rows))
    rows, forward, backward = found.rows[new], found.forward.take(new, axis=1), found.backward.take(new, axis=1)
    counts = model.behaviour.counts(query.now_ms, rows)
    rankings = [
        best(forward[SITTING], limit),
        best(lifted(forward[TASTE], counts), limit),
        best(lifted(backward[SITTING], counts), limit),
    ]
    return in_turn([rows[one] for one in rankings], 3 * limit, model.catalogue.numbering)

"""What reads like what the user liked: the nearest item embeddings to each of their interests."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query
from serving.sources.merging import in_turn


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the nearest items to the user's interests, taking turns among them; none without a history."""
    found = query.interests
    if not len(found):
        return np.empty(0, np.int64)
    # What the user has touched lies closest of all and would fill the list only to be filtered out again.
    allowed = query.model.catalogue.live[: len(query.model.catalogue)].copy()
    allowed[query.rows[query.rows >= 0]] = False
    _, rows = query.model.catalogue.index.search(found, limit, allowed)
    return in_turn([one[one >= 0] for one in rows], limit)

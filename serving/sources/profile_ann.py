"""What reads like what the user liked: the nearest item embeddings to each of their interests."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query
from serving.sources.merging import untouched


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the nearest items to the user's interests, taking turns among them; none without a history."""
    found = query.interests
    if not len(found):
        return np.empty(0, np.int64)
    # They take turns: of several interests each gives its share, and as much again for what others give as well.
    share = min(limit, 2 * limit // len(found))
    return untouched(query, query.model.catalogue.index, found, share, limit)

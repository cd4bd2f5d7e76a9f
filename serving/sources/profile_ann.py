"""What reads like what the user liked: the nearest item embeddings to each of their interests."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the nearest items to the user's interests, taking turns among them; none without a history."""
    found = query.interests
    if not len(found):
        return np.empty(0, np.int64)
    # What the user has touched lies closest of all and would fill the list only to be filtered out again.
    allowed = query.model.catalogue.live[: len(query.model.catalogue)].copy()
    allowed[query.rows[query.rows >= 0]] = False
    _, rows = query.model.catalogue.index.search(found, limit, allowed)
    in_turn = rows.T.reshape(-1)
    in_turn = in_turn[in_turn >= 0]
    _, first = np.unique(in_turn, return_index=True)
    distinct: NDArray[np.int64] = in_turn[np.sort(first)]
    return distinct[:limit]

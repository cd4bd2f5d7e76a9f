"""Closeness of an item's text to what the user likes: their closest interest, the latest items, the whole history."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query

NAMES = ("text_interest", "text_recent", "text_history")
RECENT = 5


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the cosine to the closest interest, at least 0, and to two means; 0 without a history or a text."""
    found = np.zeros((len(NAMES), len(rows)), np.float32)
    if not query.recent:
        return found
    vectors = query.model.catalogue.vectors
    touched = vectors[query.rows[query.recent]]
    sought = np.stack([touched[:RECENT].mean(0), touched.mean(0), *query.interests])
    # So, and not the other way round: a few rows times many columns is what BLAS is slowest at.
    cosines = (vectors.take(rows, axis=0) @ sought.T).T
    found[1:] = cosines[:2]
    if len(sought) > 2:
        found[0] = np.maximum(cosines[2:].max(axis=0), 0)
    return found

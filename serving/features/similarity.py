"""Closeness of an item's text to the user's interests."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the cosine to the closest interest, at least 0; 0 without a history or without a text."""
    if not len(query.interests):
        return np.zeros(len(rows), np.float32)
    cosines: NDArray[np.float32] = query.model.catalogue.vectors[rows] @ query.interests.T
    closest: NDArray[np.float32] = np.maximum(cosines.max(axis=1), 0)
    return closest

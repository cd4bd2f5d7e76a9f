"""What the sequence model expects next."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query

NAMES = ("sequence",)


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the model's score of each candidate; zeros while there is no model."""
    expected = query.sequence
    if expected is None:
        return np.zeros((1, len(rows)), np.float32)
    return expected.space.scores(rows, expected.user)[None]

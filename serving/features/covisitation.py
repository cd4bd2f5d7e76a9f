"""How strongly the user's recent items lead to an item, as a share of the strongest."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query
from serving.sources.covisitation import strengths


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns each candidate's strength over the strongest one's; 0 where nothing leads to any."""
    found = strengths(query)[rows]
    highest = found.max(initial=0.0)
    return found / highest if highest > 0 else found

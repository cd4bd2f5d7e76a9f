"""Takes out what the user has seen: items with an interaction whose type marks them so (a click, a hide ...)."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def keep(query: Query, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns True for what the user has not seen, as far as the profile remembers."""
    return query.unseen(rows)

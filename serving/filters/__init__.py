"""What must not be shown. Each filter says which candidates stay; what it takes out is counted by its name.

A filter is a function of the query and the candidates; adding one is a file here, a line in FILTERS and a
test. They run in this order, each on what the one before has left.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serving.filters import already_seen, attributes, excluded, expired, unavailable
from serving.query import Query

Filter = Callable[[Query, NDArray[np.int64]], NDArray[np.bool_]]
"""Takes the query and (C,) rows; returns (C,) True where the candidate stays."""

FILTERS: dict[str, Filter] = {
    "unavailable": unavailable.keep,
    "expired": expired.keep,
    "already_seen": already_seen.keep,
    "excluded": excluded.keep,
    "attributes": attributes.keep,
}

OF_THE_REQUEST = {"excluded", "attributes"}
"""Those that a request asks for: where they leave little, sources look further."""

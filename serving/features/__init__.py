"""What is said about each candidate, in numbers from 0 to 1, so that one scale weighs them.

A feature is a function of the query and all candidates at once; adding one is a file here, a line in
FEATURES, a weight in the settings and a test.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serving.features import covisitation, freshness, popularity, similarity
from serving.query import Query

Feature = Callable[[Query, NDArray[np.int64]], NDArray[np.float32]]
"""Takes the query and (C,) candidate rows; returns (C,) float32 in 0..1, higher is better."""

FEATURES: dict[str, Feature] = {
    "covisitation": covisitation.compute,
    "profile": similarity.compute,
    "popularity": popularity.compute,
    "fresh": freshness.compute,
}

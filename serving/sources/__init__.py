"""Candidate generation: each source names items worth a look, from one kind of evidence.

A source is a function of the query; adding one is a file here, a line in SOURCES and a test. The pipeline
runs them in this order; one that fails or comes too late is named in the answer and in the metrics.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serving.query import Query
from serving.sources import covisitation, fresh, kind, popularity, profile_ann, sequence

Source = Callable[[Query, int], NDArray[np.int64]]
"""Takes the query and a limit; returns at most that many distinct rows, in any order; where the source
says so, several times as many."""

SOURCES: dict[str, Source] = {
    "kind": kind.retrieve,
    "covisitation": covisitation.retrieve,
    "sequence": sequence.retrieve,
    "profile": profile_ann.retrieve,
    "popularity": popularity.retrieve,
    "fresh": fresh.retrieve,
}

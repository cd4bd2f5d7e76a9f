"""What is said about each candidate, in numbers. The ranker standardises and weighs them.

A feature family is a function of the query and all candidates at once; adding one is a file here, a line in
FAMILIES and a test: the ranker learns its weight.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from serving.features import age, covisitation, kind, popularity, sequence, text
from serving.query import Query

Family = Callable[[Query, NDArray[np.int64]], NDArray[np.float32]]
"""Takes the query and (C,) candidate rows; returns (len(its NAMES), C) float32; what is not finite counts as 0."""

FAMILIES: dict[str, tuple[tuple[str, ...], Family]] = {
    "covisitation": (covisitation.NAMES, covisitation.compute),
    "sequence": (sequence.NAMES, sequence.compute),
    "popularity": (popularity.NAMES, popularity.compute),
    "profile": (text.NAMES, text.compute),
    "kind": (kind.NAMES, kind.compute),
    "fresh": (age.NAMES, age.compute),
}

NAMES: tuple[str, ...] = tuple(name for names, _ in FAMILIES.values() for name in names)
"""The features in the order of the matrix's columns."""


def matrix(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns (len(NAMES), C) float32; the families that `FRESHET_DISABLED` names are zero."""
    off = query.model.settings.disabled
    found = [
        np.zeros((len(names), len(rows)), np.float32) if family in off else compute(query, rows)
        for family, (names, compute) in FAMILIES.items()
    ]
    return np.concatenate(found)

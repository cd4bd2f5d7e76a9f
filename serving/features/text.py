"""Closeness of an item's text to what the user likes: their closest interest, the latest items, the whole history.

And to what their latest items lead others to. Of a new item only this tells where it belongs, so what the texts of
all candidates have in common is taken out: it says how usual a text is, and that drowns what it is about.
"""

import numpy as np
from numpy.typing import NDArray

from serving.covisits import SITTING
from serving.query import Query

NAMES = ("text_interest", "text_recent", "text_history", "text_expected")
RECENT = 5
TINY = np.float32(1e-9)


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns products with the closest interest, two means, and what is expected; 0 without a history or a text.

    Both sides of each product are less the mean of the candidates' texts.
    """
    found = np.zeros((len(NAMES), len(rows)), np.float32)
    if not query.recent:
        return found
    touched, vectors = query.vectors[query.recent], query.model.catalogue.vectors[rows]
    usual = np.full(len(rows), 1 / len(rows), np.float32) @ vectors  # BLAS is quicker than `mean`
    towards = [touched[:RECENT].mean(0) - usual, touched.mean(0) - usual, _expected(query, rows, vectors)]
    sought = np.stack([*towards, *(query.interests - usual)])
    # So, and not the other way round: a few rows times many columns is what BLAS is slowest at.
    products = (vectors @ sought.T).T.copy()  # by row, as what follows looks at it
    products = np.where(products.any(axis=0), products - (sought @ usual)[:, None], 0)  # without a text it stays 0
    found[1:] = products[:3]
    if len(sought) > len(towards):
        found[0] = products[3:].max(axis=0)
    return found


def _expected(query: Query, rows: NDArray[np.int64], vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (D,) the text of those candidates that the latest items lead to, less that of the others; unit, or 0."""
    if "covisitation" in query.model.settings.disabled:
        return np.zeros(vectors.shape[1], np.float32)
    lifts = query.led(rows).forward_lifts[SITTING]
    expected: NDArray[np.float32] = (lifts - lifts.mean()) @ vectors
    return expected / (np.linalg.norm(expected) + TINY)

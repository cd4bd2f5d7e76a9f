"""Closeness of an item's text to what the user likes: their closest interest, the latest items, the whole history.

And to what their latest items lead others to. Of a new item only this tells where it belongs, so what the texts of
all candidates have in common is taken out: it says how usual a text is, and that drowns what it is about.
"""

import numpy as np
from numpy.typing import NDArray

from serving.covisits import FORWARD_LIFTS, SITTING
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
    touched, texts = query.vectors[query.recent], query.model.catalogue.texts
    usual, expected = _usual_and_expected(query, rows)
    sought = np.stack([touched[:RECENT].mean(0) - usual, touched.mean(0) - usual, expected, *(query.interests - usual)])
    products = texts.products(rows, sought)
    products -= (sought @ usual)[:, None] * (texts.scales.take(rows) > 0)  # without a text it stays 0
    found[1:] = products[:3]
    if len(sought) > 3:
        found[0] = products[3:].max(axis=0)
    return found


def _usual_and_expected(query: Query, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns (D,) the mean of the candidates' texts, and of those that the latest items lead to, less the others'.

    The second is a unit vector, or 0.
    """
    leads = "covisitation" not in query.model.settings.disabled
    lifts = query.led(rows)[FORWARD_LIFTS, SITTING] if leads else np.zeros(len(rows), np.float32)
    usual, expected = query.model.catalogue.texts.means(rows, lifts - lifts.mean())
    return usual, expected / (np.linalg.norm(expected) + TINY)

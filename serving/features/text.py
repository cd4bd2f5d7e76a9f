"""Closeness of an item's text to what the user likes: their closest interest, the latest items, the whole history.

And to what their latest items lead others to. Of a new item only this tells where it belongs, so what the texts of
all candidates have in common is taken out: it says how usual a text is, and that drowns what it is about.
"""

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from serving.covisits import FORWARD_LIFTS, SITTING
from serving.query import Query

NAMES = ("text_interest", "text_recent", "text_history", "text_expected")
RECENT = 5
TINY = np.float32(1e-9)
Floats = NDArray[np.float32]


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns products with the closest interest, two means, and what is expected; 0 without a history or a text.

    Both sides of each product are less the mean of the candidates' texts.
    """
    found = np.zeros((len(NAMES), len(rows)), np.float32)
    if not query.recent:
        return found
    usual, expected = _usual_and_expected(query, rows)
    sought = _sought(query.vectors, np.array(query.recent), RECENT, usual, expected, query.interests)
    products = query.model.catalogue.texts.products(rows, sought, sought @ usual)
    found[1:] = products[:3]
    if len(sought) > 3:
        found[0] = products[3:].max(axis=0)
    return found


def _usual_and_expected(query: Query, rows: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns (D,) the mean of the candidates' texts, and of those that the latest items lead to, less the others'."""
    leads = "covisitation" not in query.model.settings.disabled
    lifts = query.led(rows)[FORWARD_LIFTS, SITTING] if leads else np.zeros(len(rows), np.float32)
    return query.model.catalogue.texts.means(rows, lifts)


@compiled("(float32[:, ::1], int64[::1], int64, float32[::1], float32[::1], float32[:, ::1])")
def _sought(  # noqa: PLR0913, PLR0917 - the texts that tell what is sought
    vectors: Floats, recent: NDArray[np.int64], few: int, usual: Floats, expected: Floats, interests: Floats
) -> Floats:
    """Returns (3 + K, D): the means of the latest and of all items and each interest, less what is usual.

    The third is what is expected, as a unit vector, or 0.
    """
    sought, few = np.zeros((3 + len(interests), len(usual)), np.float32), min(few, len(recent))
    for at in range(len(recent)):
        sought[1] += vectors[recent[at]]
        if at == few - 1:
            sought[0] = sought[1] / np.float32(few)
    sought[1] /= np.float32(len(recent))
    sought[2] = expected / (np.sqrt((expected * expected).sum()) + TINY)
    sought[3:] = interests
    for at in range(len(sought)):
        if at != 2:
            sought[at] -= usual
    return sought

"""Whether an item is of the kind that the user turns to: its categories, and its time."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from serving.catalogue import CATEGORIES_LOOKED_AT
from serving.query import Query

NAMES = ("category_recent", "category_history", "era_recent")
RECENT = 5
YEAR_MS = 365.25 * DAY_MS
_ONES = np.ones(CATEGORIES_LOOKED_AT)


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the share of an item's categories in the last items and in the history, and -log1p of years apart.

    The share is the mean over the user's items of the categories in common, over the root of how many the
    candidate has: a cosine but for the user's own length, which is the same for all. 0 without a history.
    """
    catalogue, found = query.model.catalogue, np.zeros((len(NAMES), len(rows)), np.float32)
    if not query.recent:
        return found
    touched, candidates = query.rows[query.recent], catalogue.category_ids.take(rows, axis=0)
    size = np.sqrt(np.maximum((candidates > 0) @ _ONES, 1))
    for column, some in enumerate((touched[:RECENT], touched)):
        ids = catalogue.category_ids[some]
        affinity = np.bincount(ids.reshape(-1), minlength=len(catalogue.categories) + 1) / len(some)
        affinity[0] = 0  # the padding
        found[column] = affinity.take(candidates) @ _ONES / size  # four times as quick as a sum over a short axis
    published = catalogue.published_ms
    found[2] = -np.log1p(np.abs(published.take(rows) - published[touched[:RECENT]].mean()) / YEAR_MS)
    return found

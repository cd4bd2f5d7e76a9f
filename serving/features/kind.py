"""Whether an item is of the kind that the user turns to: its categories, and its time."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.compiled import compiled
from serving.catalogue import Catalogue
from serving.numbering import Rows
from serving.query import Query

NAMES = ("category_recent", "category_history", "era_recent")
RECENT = 5
YEAR_MS = 365.25 * DAY_MS


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns the share of an item's categories in the last items and in the history, and -log1p of years apart.

    The share is the mean over the user's items of the categories in common, over the root of how many the
    candidate has: a cosine but for the user's own length, which is the same for all. 0 without a history.
    """
    if not query.recent:
        return np.zeros((len(NAMES), len(rows)), np.float32)
    catalogue, touched = query.model.catalogue, query.rows[query.recent]
    affinities = np.stack([_affinity(catalogue, some) for some in (touched[:RECENT], touched)])
    found: NDArray[np.float32] = np.empty((len(NAMES), len(rows)), np.float32)
    _shares(affinities, catalogue.category_ids, rows, found)
    published = catalogue.published_ms
    found[2] = np.abs(published.take(rows) - published[touched[:RECENT]].mean()) / YEAR_MS
    found[2] = -np.log1p(found[2])
    return found


def _affinity(catalogue: Catalogue, touched: Rows) -> NDArray[np.float64]:
    """Returns by category how many of the touched items are of it, as a share."""
    ids = catalogue.category_ids[touched].reshape(-1)
    affinity: NDArray[np.float64] = np.bincount(ids, minlength=len(catalogue.categories) + 1) / len(touched)
    affinity[0] = 0  # the padding
    return affinity


@compiled("(float64[:, ::1], int32[:, ::1], int64[::1], float32[:, ::1])")
def _shares(affinities: NDArray[np.float64], kinds: NDArray[np.int32], rows: Rows, found: NDArray[np.float32]) -> None:
    for at in range(len(rows)):
        row, count = rows[at], 0
        while count < kinds.shape[1] and kinds[row, count] > 0:
            count += 1
        size = np.sqrt(max(count, 1))
        for column in range(len(affinities)):
            total = 0.0
            for place in range(count):
                total += affinities[column, kinds[row, place]]
            found[column, at] = total / size

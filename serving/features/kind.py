"""Whether an item is of the kind that the user turns to: its categories, and its time."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.compiled import compiled
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
    catalogue = query.model.catalogue
    kinds, most = catalogue.category_ids, len(catalogue.categories)
    found: NDArray[np.float32] = _kinds(query.recent_rows, RECENT, kinds, most, catalogue.published_ms, YEAR_MS, rows)
    np.log1p(found[2], out=found[2])
    np.negative(found[2], out=found[2])
    return found


@compiled("(int64[::1], int64, int32[:, ::1], int64, int64[::1], float64, int64[::1])")
def _kinds(  # noqa: PLR0913, PLR0917 - the user's items, and what is known by row
    touched: Rows, recent: int, kinds: NDArray[np.int32], most: int, published_ms: Rows, year_ms: float, rows: Rows
) -> NDArray[np.float32]:
    """Returns (3, C): the shares of the categories in the first few touched items and in all, and years apart."""
    shares, published, few = np.zeros((most + 1, 2)), 0.0, min(recent, len(touched))
    for at in range(len(touched)):
        for kind in kinds[touched[at]]:
            shares[kind, 1] += 1.0 / len(touched)
            shares[kind, 0] += 1.0 / few if at < few else 0.0
        published += published_ms[touched[at]] / few if at < few else 0.0
    found = np.empty((3, len(rows)), np.float32)
    for at in range(len(rows)):
        row, count, in_few, in_all = rows[at], 0, 0.0, 0.0
        while count < kinds.shape[1] and kinds[row, count] > 0:  # what follows is padding
            in_few += shares[kinds[row, count], 0]
            in_all += shares[kinds[row, count], 1]
            count += 1
        size = np.sqrt(max(count, 1))
        found[0, at], found[1, at] = in_few / size, in_all / size
        found[2, at] = abs(published_ms[row] - published) / year_ms
    return found

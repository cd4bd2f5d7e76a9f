"""What everybody touches, with the past decaying: half of the places for what trends, half for the well liked."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the most popular items by each half life in turn; newest first while nobody did anything yet."""
    catalogue = query.model.catalogue
    n = len(catalogue)
    best = np.stack([_top(one[:n], limit) for one in query.model.behaviour.popularity])
    in_turn = best.T.reshape(-1)
    in_turn = in_turn[in_turn >= 0]
    if not len(in_turn):
        live = np.flatnonzero(catalogue.live[:n])
        newest: NDArray[np.int64] = live[np.argsort(-catalogue.published_ms[live], kind="stable")]
        return newest[:limit]
    _, first = np.unique(in_turn, return_index=True)
    distinct: NDArray[np.int64] = in_turn[np.sort(first)]
    return distinct[:limit]


def _top(scores: NDArray[np.float64], limit: int) -> NDArray[np.int64]:
    """Returns the rows of the highest finite scores, padded with -1 to `limit`."""
    rows = np.flatnonzero(np.isfinite(scores))
    if len(rows) > limit:
        rows = rows[np.argpartition(-scores[rows], limit)[:limit]]
    rows = rows[np.argsort(-scores[rows], kind="stable")]
    padded: NDArray[np.int64] = np.concatenate([rows, np.full(limit - len(rows), -1)])
    return padded

"""Items that are new, whom no behaviour can have found yet: close to the user's interests, or just the newest."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.query import Query

LONGER = 2.5
"""The list is so many times as long as those of other sources: of items that hardly anybody can have found yet few are
chosen, and the ranker learns from each of these choices what speaks for a new item. With 150 instead of 400, a new item
was among the first ten of all in .007 of its choices instead of .017 (MovieLens 100k, protocol new-items)."""

LOOKED_AT = 500
"""Of more than so many new items, those that came into the catalogue last are looked at."""


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns items published within `fresh_days` or touched by nobody yet; of too many, the likeliest.

    For a user with a history that is the sequence model's order, or where there is none the closeness of the
    text to the user's interests; for a stranger the newest come first.
    """
    rows, most = query.model.new_items.latest(query.now_ms, LOOKED_AT), int(limit * LONGER)
    if len(rows) <= most:  # in any order: candidates are put in one of their own
        return rows
    best: NDArray[np.int64] = rows[np.argsort(-_promise(query, rows), kind="stable")[:most]]
    return best


def _promise(query: Query, rows: NDArray[np.int64]) -> NDArray[np.floating[Any]]:
    if query.sequence is not None and query.recent:
        return query.sequence.space.scores(rows, query.sequence.user)
    if len(query.interests) and len(rows):
        usual = query.model.new_items.usual_text(rows)
        sought = query.interests - usual
        products = query.model.catalogue.texts.products(rows, sought) - (sought @ usual)[:, None]
        best: NDArray[np.float32] = products.max(axis=0)
        return best
    return query.model.catalogue.published_ms[rows].astype(np.float64)

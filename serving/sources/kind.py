"""What is of the categories that the request's filter names: of one that few turn to other sources may know nothing."""

from itertools import chain

import numpy as np
from numpy.typing import NDArray

from serving.numbering import best_first, by_tie
from serving.query import Query

LOOKED_AT = 10_000
"""Larger categories are not looked through: that would take longer than the rest of a request, and other sources find
enough of them."""


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the most popular items of the wanted categories that the user has not seen; none without a filter."""
    catalogue = query.model.catalogue
    wanted = {*query.filter.categories} if query.filter else set()
    members = [catalogue.by_category[one] for one in wanted if one in catalogue.categories]
    size = sum(map(len, members))
    if not 0 < size <= LOOKED_AT:
        return np.empty(0, np.int64)
    rows = catalogue.numbering.distinct(np.fromiter(chain(*members), np.int64, size))
    rows = rows[query.unseen(rows)]
    rows = by_tie(rows, catalogue.tie.take(rows))
    best: NDArray[np.int64] = rows[best_first(query.model.behaviour.counts(query.now_ms, rows))[:limit]]
    return best

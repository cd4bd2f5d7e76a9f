"""What sources share: the best of an array, the nearest of an index, and several rankings merged into one."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from embeddings.ann_index import AnnIndex
from learning.compiled import compiled
from serving.numbering import Marks, Numbering, Rows
from serving.query import Query


def best(strengths: NDArray[np.float32], tie: NDArray[np.uint32], limit: int) -> Rows:
    """Returns the places of the highest positive strengths, in no order, at most `limit`.

    Of those that are equal at the end, the ones of the lowest `tie`: a hash of the ids, so that all replicas cut alike.
    """
    places = np.flatnonzero(strengths > 0)
    if len(places) <= limit:
        return places
    own = strengths.take(places)
    least = np.partition(own, len(own) - limit)[len(own) - limit]
    above, equal = places[own > least], places[own == least]
    last = equal[tie.take(equal).argsort(kind="stable")[: limit - len(above)]]
    return np.concatenate([above, last])


def in_turn(rankings: Sequence[Rows], limit: int, numbering: Numbering) -> Rows:
    """Takes the first of each ranking, then the second of each, ...: at most `limit` distinct rows."""
    if not rankings:
        return np.empty(0, np.int64)
    lengths = np.array([*map(len, rankings)], np.int64)
    taken: Rows = _in_turn(numbering.marks, np.concatenate(rankings), lengths, limit)
    return taken


def untouched(query: Query, index: AnnIndex, queries: NDArray[np.float32], limit: int) -> list[Rows]:
    """Returns for each of (B, M) queries the nearest rows that the user has not touched, at most `limit`.

    What the user has touched lies closest of all and would fill the list only to be filtered out again. More are
    asked for and these left out: a mask of what may be found would be as long as the catalogue. The ranker puts
    them in order, so near is near enough.
    """
    catalogue = query.model.catalogue
    _, nearest = index.search(queries, limit + len(query.touched), rough=True)
    every = nearest.reshape(-1)
    new = (every >= 0) & catalogue.live.take(every) & (catalogue.numbering.places(query.touched, every) < 0)
    return [rows[own][:limit] for rows, own in zip(nearest, new.reshape(nearest.shape), strict=True)]


@compiled("(int32[::1], int64[::1], int64[::1], int64)")
def _in_turn(marks: Marks, every: Rows, lengths: Rows, limit: int) -> Rows:
    found, count, step, more = np.empty(min(limit, len(every)), np.int64), 0, 0, True
    while more:
        more, start = False, 0
        for length in lengths:
            if step < length and count < len(found):
                more, row = True, every[start + step]
                place = marks[row]
                if place >= count or found[place] != row:
                    marks[row] = count
                    found[count] = row
                    count += 1
            start += length
        step += 1
    return found[:count]

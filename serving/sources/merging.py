"""What sources share: the nearest of an index, and several rankings merged into one."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from embeddings.ann_index import AnnIndex
from learning.compiled import compiled
from serving.numbering import Marks, Numbering, Rows, absent
from serving.query import Query


class Rankings(NamedTuple):
    """Several rankings, one after the other.

    Attributes:
        rows: (E,) int64.
        lengths: (L,) int64, how many are of each.
        kept: (E,) what is passed over is False.
    """

    rows: Rows
    lengths: Rows
    kept: NDArray[np.bool_]


def in_turn(rankings: Rankings, share: int, limit: int, numbering: Numbering) -> Rows:
    """Takes the first of each ranking, then the second of each, ...: at most `limit` distinct rows, `share` of each."""
    taken: Rows = _in_turn(numbering.marks, *rankings, share, limit)
    return taken


def untouched(query: Query, index: AnnIndex, queries: NDArray[np.float32], share: int, limit: int) -> Rows:
    """Returns the nearest rows that the user has not touched: at most `share` of each of (B, M) queries, in turn.

    What the user has touched lies closest of all and would fill the list only to be filtered out again. More are
    asked for and these left out: a mask of what may be found would be as long as the catalogue. The ranker puts
    them in order, so near is near enough.
    """
    catalogue = query.model.catalogue
    _, nearest = index.search(queries, share + len(query.touched), rough=True)
    every = nearest.reshape(-1)
    kept = (every >= 0) & catalogue.live.take(every) & absent(query.touched, every)
    rankings = Rankings(every, np.full(len(nearest), nearest.shape[1]), kept)
    return in_turn(rankings, share, limit, catalogue.numbering)


@compiled("(int32[::1], int64[::1], int64[::1], boolean[::1], int64, int64)")
def _in_turn(  # noqa: PLR0913, PLR0917 - the rankings, and how much of them
    marks: Marks, every: Rows, lengths: Rows, kept: NDArray[np.bool_], share: int, limit: int
) -> Rows:
    found, count, step, more = np.empty(min(limit, len(every)), np.int64), 0, 0, True
    ends = np.cumsum(lengths)
    places = ends - lengths
    while more and step < share:
        more = False
        for ranking in range(len(lengths)):
            at, end = places[ranking], ends[ranking]
            while at < end and not kept[at]:
                at += 1
            if at < end and count < len(found):
                more, row = True, every[at]
                place = marks[row]
                if place >= count or found[place] != row:
                    marks[row] = count
                    found[count] = row
                    count += 1
            places[ranking] = at + 1
        step += 1
    return found[:count]

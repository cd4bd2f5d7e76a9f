"""Adds up weighted links that lie in any order, row by row: counted, laid out by row, and summed there."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from serving.columns import Ragged
from serving.links import HIGHEST, MOST, PAIR, strongest_first

Numbers = NDArray[np.int32]


def linked(source: Numbers, target: Numbers, weights: Numbers, size: int, tie: NDArray[np.uint32]) -> Ragged:
    """Returns where each row leads to, weights of equal links added up, encoded as `LinkTable` reads them.

    Args:
        source: (L,) the row that each link leads from.
        target: (L,) the row that it leads to.
        weights: (L,) its weight, not negative; links without any are left out.
        size: how many rows there are.
        tie: a number for each, by which equal links are told apart.
    """
    counts, pairs = np.zeros(size, np.int64), np.empty((len(source), 2), np.int32)
    found = _sum(source, target, weights, counts, pairs, HIGHEST)
    ends = np.cumsum(counts)
    for row in np.flatnonzero(counts > MOST).tolist():
        own = pairs[ends[row] - counts[row] : ends[row]]
        own[:] = own[strongest_first(own[:, 0], own[:, 1], tie)]
    block = pairs[:found].astype("<i4", copy=False).reshape(-1).view(np.uint8)
    return Ragged(PAIR * counts, block.data)


@compiled("int64(int32[::1], int32[::1], int32[::1], int64[::1], int32[:, ::1], int64)")
def _sum(source: Any, target: Any, weights: Any, counts: Any, pairs: Any, highest: int) -> int:  # noqa: ANN401, PLR0917
    """Fills `pairs` with the links of each row, and `counts` with how many those are; returns how many in all."""
    places = np.zeros(len(counts) + 1, np.int64)
    for row in source:
        places[row + 1] += 1
    for row in range(len(counts)):
        places[row + 1] += places[row]
    by_row = np.empty((len(source), 2), np.int32)
    for at in range(len(source)):
        place = places[source[at]]
        by_row[place, 0], by_row[place, 1] = target[at], weights[at]
        places[source[at]] = place + 1  # in the end where the next row begins
    sums, end, start = np.zeros(len(counts), np.int64), 0, 0
    for row in range(len(counts)):
        begin = end
        for place in range(start, places[row]):
            to, weight = by_row[place, 0], by_row[place, 1]
            if sums[to] == 0 and weight > 0:
                pairs[end, 0] = to
                end += 1
            sums[to] += weight
        for place in range(begin, end):
            to = pairs[place, 0]
            pairs[place, 1] = min(sums[to], highest)
            sums[to] = 0
        counts[row], start = end - begin, places[row]
    return end

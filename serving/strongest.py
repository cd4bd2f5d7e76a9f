"""The strongest of many, without sorting them: where what users touch together leads."""

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled


def strongest(
    lists: NDArray[np.float32], wanted: NDArray[np.bool_], tie: NDArray[np.uint32], limit: int
) -> NDArray[np.bool_]:
    """Returns True where one of (L, U) lists has one of its highest positive wanted numbers, at most `limit` in each.

    Of those that are equal at the end of a list, the ones of the lowest `tie`: a hash of the ids, so that all replicas
    cut alike.
    """
    chosen: NDArray[np.bool_] = _strongest(lists, wanted, tie, limit)
    return chosen


@compiled("(float32[:, ::1], boolean[::1], uint32[::1], int64)")
def _strongest(
    lists: NDArray[np.float32], wanted: NDArray[np.bool_], tie: NDArray[np.uint32], limit: int
) -> NDArray[np.bool_]:
    size = lists.shape[1]
    chosen, places, own = np.zeros(size, np.bool_), np.empty(size, np.int64), np.empty(size, np.float32)
    for strengths in lists:
        count = 0
        for place in range(size):
            if wanted[place] and strengths[place] > 0:
                places[count], own[count] = place, strengths[place]
                count += 1
        least, equal, above = np.float32(0), 0, 0
        if count > limit:
            least = np.partition(own[:count], count - limit)[count - limit]
        for at in range(count):
            if own[at] > least:
                chosen[places[at]] = True
                above += 1
            elif own[at] == least:
                places[equal] = places[at]
                equal += 1
        if equal:
            last = places[:equal]
            for at in np.argsort(tie[last])[: limit - above]:
                chosen[last[at]] = True
    return chosen

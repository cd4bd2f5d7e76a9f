"""What a new share changes in the links of its item."""

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from serving.links import Changes
from serving.shares import Share

Numbers = NDArray[np.int32]


def changes_between(before: Share, share: Share, weights: Numbers) -> Changes:
    """Returns the predecessors whose weight changes, and by how much, (C, 2).

    `weights` are zeros, one for each row, and are so again afterwards.
    """
    changes = np.empty((len(before.earlier) + len(share.earlier), 2), np.int32)
    count = _between(before.earlier, before.weights, share.earlier, share.weights, weights, changes)
    return changes[:count]


@compiled("int64(int32[::1], int32[::1], int32[::1], int32[::1], int32[::1], int32[:, ::1])")
def _between(  # noqa: PLR0913, PLR0917 - two shares, and what comes of them
    before: Numbers, lost: Numbers, earlier: Numbers, gained: Numbers, weights: Numbers, changes: Changes
) -> int:
    for at in range(len(before)):
        weights[before[at]] += lost[at]
    count = 0
    for at in range(len(earlier)):
        by = gained[at] - weights[earlier[at]]
        weights[earlier[at]] = 0
        if by != 0:
            changes[count, 0], changes[count, 1] = earlier[at], by
            count += 1
    for at in range(len(before)):  # what is left of them has gone
        by = -weights[before[at]]
        weights[before[at]] = 0
        if by != 0:
            changes[count, 0], changes[count, 1] = before[at], by
            count += 1
    return count

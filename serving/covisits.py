"""What a user's recent items lead to: co-visitation over several horizons, forward and backward."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from serving.links import Neighbours

if TYPE_CHECKING:
    from serving.query import Query

HORIZONS = ((0.97, 50), (0.8, 12), (0.3, 3))
"""Lag decay and length: the taste, the sitting, and the very last items. The signals themselves are learned at
one horizon between these; on MovieLens 100k keeping three instead gained nothing (nDCG@10 .1027 and .1011)."""

TASTE, SITTING, LAST = range(3)
"""Places in HORIZONS."""

LIFT = 0.7
"""Strengths are also divided by popularity to this power, or what everybody touches leads to everything."""


@dataclass(frozen=True)
class Covisits:
    """Strengths for every row of the catalogue: (N, len(HORIZONS)) float32, >= 0.

    Attributes:
        forward: how strongly the recent items lead to an item: users touched it after them.
        backward: the same of what users touched before them.
    """

    forward: NDArray[np.float32]
    backward: NDArray[np.float32]


def covisits(query: "Query") -> Covisits:
    """Adds up what the recent items say; zeros for a user without a history."""
    behaviour, size = query.model.behaviour, len(query.model.catalogue)
    recent = [int(query.rows[at]) for at in query.recent[: HORIZONS[TASTE][1]]]
    return Covisits(
        _summed([behaviour.successors(row) for row in recent], size),
        _summed([behaviour.predecessors(row) for row in recent], size),
    )


def _summed(links: Sequence[Neighbours], size: int) -> NDArray[np.float32]:
    """Returns (N, K) float32: the weights of links by row, those of the item `lag` steps back times decay^lag."""
    sums = np.zeros((len(HORIZONS), size), np.float32)
    if not links:
        return sums.T
    rows = np.concatenate([one for one, _ in links])
    weights = np.concatenate([one for _, one in links])
    lengths = [len(one) for one, _ in links]
    lags = np.repeat(np.arange(len(links)), lengths)
    for at, (decay, length) in enumerate(HORIZONS):
        reach = sum(lengths[:length])
        decays = decay ** np.arange(min(length, len(links)), dtype=np.float64)
        sums[at] = np.bincount(rows[:reach], weights[:reach] * decays[lags[:reach]], size)
    return sums.T


def lifted(strengths: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divides strengths by (count + 1) ^ LIFT; counts (C,) belong to the first axis of (C, K) strengths."""
    divided: NDArray[np.float32] = strengths / ((counts + 1) ** LIFT)[:, None]
    return divided

"""The newest choices of a log, to pass over again: what a protocol without a stream may do and serving does not."""

from collections import deque

import numpy as np
from numpy.typing import NDArray

from learning.ranker import Context, Ranker
from serving.features import NAMES

REMEMBERED = 200
"""So many candidates of a choice are kept; all of them gained nothing."""

PASSES = 5
"""Picked, as the number of choices, on MovieLens 100k, events before 80,000."""


class Choices:
    """The newest `size` choices, each among a sample of its candidates, which leads to the same weights.

    (McFadden, Modelling the choice of residential location, 1978.) A choice takes 13 kB.
    """

    def __init__(self, size: int) -> None:
        self._kept: deque[tuple[NDArray[np.float16], Context]] = deque(maxlen=size)
        self._dice = np.random.default_rng(0)

    def note(self, candidates: NDArray[np.float32], chosen: int, context: Context) -> None:
        """Takes (C, F) standardised candidates and which of them was chosen."""
        others = np.delete(np.arange(len(candidates)), chosen)
        if len(others) >= REMEMBERED:
            others = self._dice.choice(others, REMEMBERED - 1, replace=False)
        self._kept.append((candidates[[chosen, *others]].astype(np.float16), context))

    def ranker(self) -> Ranker:
        """Returns a new ranker that has passed over the choices several times, in any order."""
        ranker = Ranker(NAMES)
        for _ in range(PASSES):
            for at in self._dice.permutation(len(self._kept)):
                candidates, context = self._kept[at]
                ranker.learn(candidates.astype(np.float32), 0, context)
        return ranker

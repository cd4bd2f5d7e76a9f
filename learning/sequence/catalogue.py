"""The items of a training log: how often each was touched, and so how far it may differ from its text."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from learning.sequence.config import SequenceConfig
from learning.sequence.windows import Ints, Log

MANY_REPEATS = 0.1
"""Above this share of events that touch an item again, people of this log come back to things."""


class Catalogue(NamedTuple):
    """The items as training sees them.

    Attributes:
        texts: (N, D) float32.
        gates: (N, 1) float32: the share of its residual an item uses, n / (n + shrink) after n interactions.
        known: (C,) int64 rows of the items with interactions, ascending. Only they can be wrong answers:
            otherwise training would push items away for being new.
        popularity: (C,) float64: the share of all interactions that each has.
        repeats: whether items are often touched again. If not, what a user has touched is no wrong answer:
            it is never asked for.
    """

    texts: Tensor
    gates: Tensor
    known: Ints
    popularity: NDArray[np.float64]
    repeats: bool


def catalogue(texts: NDArray[np.float32], log: Log, config: SequenceConfig) -> Catalogue:
    """Returns the items of `texts`, (N, D) float32, as `log` knows them."""
    counts = np.bincount(log.rows, minlength=len(texts))
    known = np.flatnonzero(counts)
    gates = (counts / np.maximum(counts + config.shrink, 1e-9)).astype(np.float32)[:, None]
    user = np.repeat(np.arange(len(log.bounds) - 1), np.diff(log.bounds))
    distinct = len(np.unique(user * len(texts) + log.rows))
    return Catalogue(
        texts=torch.from_numpy(texts),
        gates=torch.from_numpy(gates),
        known=known,
        popularity=counts[known] / len(log.rows),
        repeats=1 - distinct / len(log.rows) > MANY_REPEATS,
    )

"""Cross-entropy over the catalogue: the item that was touched next against all others."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from learning.sequence.config import SequenceConfig
from learning.sequence.model import SequenceModel
from learning.sequence.windows import Batch, Ints

IMPOSSIBLE = -1e4
"""Score of what cannot come next; finite, so that no gradient is."""


class Catalogue(NamedTuple):
    """The items of a training log.

    Attributes:
        texts: (N, D) float32.
        gates: (N, 1) float32: how much of its residual an item may use, n / (n + shrink); 0 without interactions.
        known: (C,) int64 rows of the items with interactions, ascending. Only they can be wrong answers:
            otherwise training would push items away for being new.
        shares: (C,) float64: how often a sample draws each, half evenly, half by the square root of popularity.
    """

    texts: Tensor
    gates: Tensor
    known: Ints
    shares: NDArray[np.float64]


def catalogue(texts: NDArray[np.float32], rows: Ints, config: SequenceConfig) -> Catalogue:
    """Counts the interactions of each item in `rows`, (E,) int64."""
    counts = np.bincount(rows, minlength=len(texts))
    known = np.flatnonzero(counts)
    gates = (counts / np.maximum(counts + config.shrink, 1e-9)).astype(np.float32)[:, None]
    roots = np.sqrt(counts[known])
    shares = 0.5 / len(known) + 0.5 * roots / roots.sum()
    return Catalogue(torch.from_numpy(texts), torch.from_numpy(gates), known, shares)


def loss_of(model: SequenceModel, items: Catalogue, batch: Batch, random: np.random.Generator) -> Tensor:
    """Returns the mean cross-entropy of a batch, a scalar.

    Above `full_softmax_items` known items, all targets of the batch stand against a sample, each corrected by
    the logarithm of how often it is drawn (Bengio & Senécal 2008). Items that the user has touched in the
    window are no wrong answers: they are rarely recommended again.
    """
    config = model.config
    chosen, correction = _sample(items, batch, config, random)
    rows = torch.from_numpy(chosen)
    kept = torch.from_numpy((random.random((len(chosen), 1)) >= config.residual_dropout).astype(np.float32))
    vectors = model.item_vectors(items.texts[rows], model.residual[rows] * items.gates[rows] * kept)
    local = np.searchsorted(chosen, batch.rows).clip(max=len(chosen) - 1)
    users = model(vectors[torch.from_numpy(local)], batch)[torch.from_numpy(batch.loss)]
    targets = np.searchsorted(chosen, batch.targets[batch.loss])
    scores = users @ vectors.T
    if correction is not None:
        scores = scores - torch.from_numpy(correction)
    scores[_touched(local, targets, batch)] = IMPOSSIBLE
    return F.cross_entropy(scores, torch.from_numpy(targets))


def _sample(
    items: Catalogue, batch: Batch, config: SequenceConfig, random: np.random.Generator
) -> tuple[Ints, NDArray[np.float32] | None]:
    """Returns the rows that a batch deals with, ascending, and what their scores are lowered by; None: nothing."""
    if len(items.known) <= config.full_softmax_items:
        return items.known, None
    drawn = random.choice(items.known, config.negatives, p=items.shares)
    chosen = np.unique(np.concatenate([drawn, batch.rows[batch.live], batch.targets[batch.loss]]))
    shares = items.shares[np.searchsorted(items.known, chosen)]
    return chosen, np.log1p(-((1 - shares) ** config.negatives) + 1e-12).astype(np.float32)


def _touched(local: Ints, targets: Ints, batch: Batch) -> tuple[Tensor, Tensor]:
    """Returns, as pairs (prediction, item), what its window had touched and was not what came next."""
    window, step = np.nonzero(batch.loss)
    at = np.repeat(np.arange(len(step)), step + 1)
    back = np.arange(len(at)) - np.repeat(np.cumsum(step + 1) - step - 1, step + 1)
    touched = local[window[at], back]
    wrong = touched != targets[at]
    return torch.from_numpy(at[wrong]), torch.from_numpy(touched[wrong])

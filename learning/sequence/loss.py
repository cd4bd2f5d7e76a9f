"""Cross-entropy over the catalogue: the few items that were touched next against all others."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import NestedIOFunction as Context

from learning.sequence.catalogue import Catalogue
from learning.sequence.config import SequenceConfig
from learning.sequence.model import SequenceModel
from learning.sequence.windows import Batch, Ints, Log, Windows, ahead, collate, touched

IMPOSSIBLE = -1e4
"""Score of what cannot come next; finite, so that no gradient is."""

NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""CPU features (x86, x86, ARM) with which bfloat16 halves the time of scoring the catalogue."""


PRECISION = torch.bfloat16 if any(map(torch.cpu.get_capabilities().get, NATIVE_BFLOAT16)) else torch.float32


class Question(NamedTuple):
    """What the softmax is held to; P questions over C items.

    Attributes:
        right: (P, K) int64: items that came next.
        weights: (P, K) float32: what each counts, rows of sum 1.
        ruled_out: pairs (question, item) that cannot come next; none of them is right. None: everything can.
        correction: (C,) float32: subtracted from the scores of each item. None: nothing is.
    """

    right: Tensor
    weights: Tensor
    ruled_out: tuple[Tensor, Tensor] | None
    correction: Tensor | None


def loss_of(model: SequenceModel, items: Catalogue, log: Log, windows: Windows, random: np.random.Generator) -> Tensor:
    """Returns the mean cross-entropy of some windows, a scalar.

    The order within a sitting says little, so the `ahead` next items are all right, each next one less.
    """
    config = model.config
    batch = collate(log, windows)
    following, there = ahead(log, batch, config.ahead)
    chosen, correction = _sample(items, np.append(batch.rows, following), config, random)
    rows = torch.from_numpy(chosen)
    kept = torch.from_numpy((random.random((len(chosen), 1)) >= config.residual_dropout).astype(np.float32))
    vectors = model.item_vectors(items.texts[rows], model.residual[rows] * items.gates[rows] * kept)
    local = torch.from_numpy(np.searchsorted(chosen, batch.rows))
    users = model(vectors[local], batch, random)[torch.from_numpy(batch.asked)]
    weights = config.ahead_decay ** np.arange(config.ahead) * there
    asked = Question(
        right=torch.from_numpy(np.searchsorted(chosen, following)),
        weights=torch.from_numpy((weights / weights.sum(1, keepdims=True)).astype(np.float32)),
        ruled_out=None if items.repeats else _ruled_out(log, batch, following, chosen),
        correction=correction,
    )
    loss: Tensor = _CrossEntropy.apply(users, vectors, asked)  # type: ignore[no-untyped-call]
    return loss


def _sample(
    items: Catalogue, needed: Ints, config: SequenceConfig, random: np.random.Generator
) -> tuple[Ints, Tensor | None]:
    """Returns the rows that a batch deals with, ascending, and what their scores are lowered by; None: nothing.

    Above `full_softmax_items` known items, what the batch itself touches and an even sample stand for all, each
    corrected by the logarithm of how likely it is among them (Bengio & Senécal 2008).
    """
    known, count = items.known, config.negatives
    if len(known) <= max(config.full_softmax_items, count):
        return known, None
    chosen = np.union1d(random.choice(known, count, replace=False), needed)
    popularity = items.popularity[np.searchsorted(known, chosen)]
    likely = 1 - (1 - count / len(known)) * np.exp(len(needed) * np.log1p(-popularity))
    return chosen, torch.from_numpy(np.log(likely).astype(np.float32))


def _ruled_out(log: Log, batch: Batch, following: Ints, chosen: Ints) -> tuple[Tensor, Tensor]:
    """Returns, as pairs, what was touched before a question and is not what came next."""
    question, row = touched(log, batch)
    place = np.searchsorted(chosen, row).clip(max=len(chosen) - 1)
    kept = (following[question] != row[:, None]).all(1) & (chosen[place] == row)
    return torch.from_numpy(question[kept]), torch.from_numpy(place[kept])


class _CrossEntropy(torch.autograd.Function):
    """Softmax, loss and gradients at once: a third of the time and memory of the parts one by one.

    Products with the catalogue are in bfloat16 where the processor has it; sums and exponentials are not.
    """

    @staticmethod
    def forward(ctx: Context, users: Tensor, vectors: Tensor, asked: Question) -> Tensor:
        u, v = users.to(PRECISION), vectors.to(PRECISION)
        scores = (u @ v.T).float()
        if asked.correction is not None:
            scores -= asked.correction
        if asked.ruled_out is not None:
            scores[asked.ruled_out] = IMPOSSIBLE
        scores -= scores.amax(1, keepdim=True)
        right = (scores.gather(1, asked.right) * asked.weights).sum(1)
        total = scores.exp_().sum(1, keepdim=True)
        loss = (total[:, 0].log() - right).mean()
        scores /= total
        scores.scatter_add_(1, asked.right, -asked.weights)
        slope = scores.to(PRECISION)
        ctx.save_for_backward((slope @ v).float() / len(u), (slope.T @ u).float() / len(u))
        return loss

    @staticmethod
    def backward(ctx: Context, *slopes: Tensor) -> tuple[Tensor, Tensor, None]:
        users, vectors = ctx.saved_tensors
        return users * slopes[0], vectors * slopes[0], None

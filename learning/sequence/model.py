"""The transformer in torch, for training. `inference` computes the same in NumPy; a test holds one to the other."""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from learning.sequence.clocks import GAPS, gap_kind, log_age
from learning.sequence.config import SequenceConfig
from learning.sequence.windows import Batch

FEED_FORWARD = 2
"""The feed-forward part is so many times as wide as the transformer."""


class Block(nn.Module):
    """Attention to what came before, then a feed-forward part; each adds to its input, normalised first."""

    def __init__(self, config: SequenceConfig) -> None:
        super().__init__()
        width = config.width
        self.heads, self.dropout = config.heads, config.dropout
        self.norm_attention = nn.LayerNorm(width)
        self.attend = nn.Linear(width, 3 * width)
        self.distance = nn.Parameter(torch.zeros(config.heads, config.length))
        self.age = nn.Parameter(torch.zeros(config.heads, 1, 1))
        self.merge = nn.Linear(width, width)
        self.norm_feed = nn.LayerNorm(width)
        self.up = nn.Linear(width, FEED_FORWARD * width)
        self.down = nn.Linear(FEED_FORWARD * width, width)

    def forward(self, x: Tensor, steps: Tensor, ages: Tensor, random: np.random.Generator | None) -> Tensor:
        """Returns (B, T, width).

        Args:
            x: (B, T, width).
            steps: (T, T) int64: how many steps the second lies before the first; negative: after it.
            ages: (B, T, T): logarithm of how old the second is when the first asks.
            random: draws what is dropped; None: nothing is.
        """
        batch, time, width = x.shape
        heads = self.attend(self.norm_attention(x)).view(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = heads[0], heads[1], heads[2]
        weights = query @ key.transpose(-1, -2) / math.sqrt(width // self.heads)
        weights = weights + self.distance[:, steps.clamp(min=0)] + ages[:, None] * self.age
        weights = _drop(weights.masked_fill(steps < 0, -1e9).softmax(-1), self.dropout, random)
        merged = self.merge((weights @ value).transpose(1, 2).reshape(batch, time, width))
        x = x + _drop(merged, self.dropout, random)
        fed = self.down(_drop(F.relu(self.up(self.norm_feed(x))), self.dropout, random))
        return x + _drop(fed, self.dropout, random)


class SequenceModel(nn.Module):
    """Items to vectors, and a user's items to the vector whose dot product says what comes next."""

    def __init__(self, config: SequenceConfig, items: int, text_width: int) -> None:
        super().__init__()
        width = config.width
        self.config = config
        self.text = nn.Parameter(torch.randn(text_width, width + 1) * 0.05)
        self.residual = nn.Parameter(torch.randn(items, width + 1) * 0.02)
        self.enter = nn.Linear(width, width)
        nn.init.eye_(self.enter.weight)
        with torch.no_grad():
            self.enter.weight.mul_(math.sqrt(width))
        self.gap = nn.Parameter(torch.zeros(GAPS, width))
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(width)
        self.stage = nn.Parameter(torch.zeros(config.length, width))
        self.leave = nn.Linear(width, width)

    def item_vectors(self, texts: Tensor, residual: Tensor) -> Tensor:
        """Returns (N, width + 1) from text embeddings (N, D) and residuals (N, width + 1)."""
        return texts @ self.text + residual

    def forward(self, items: Tensor, batch: Batch, random: np.random.Generator | None = None) -> Tensor:
        """Returns (B, T, width + 1): after each interaction, the vector of the user.

        Args:
            items: (B, T, width + 1) vectors of what was touched.
            batch: when that was.
            random: draws what is dropped; None: nothing is.
        """
        pauses, ages, steps = _times(batch)
        x = self.enter(items[..., :-1]) + self.gap[pauses]
        x = _drop(x, self.config.dropout, random)
        for block in self.blocks:
            x = block(x, steps, ages, random)
        stages = torch.from_numpy(np.minimum(batch.counts, self.config.length) - 1)
        users = self.leave(self.norm(x) + self.stage[stages])
        return torch.cat([users, users.new_ones(*users.shape[:-1], 1)], -1)


def _times(batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Returns kinds of pauses (B, T), logarithms of ages (B, T, T) and steps back (T, T)."""
    ages: NDArray[np.int64] = batch.nows_ms[:, :, None] - batch.times_ms[:, None, :]
    positions = torch.arange(batch.rows.shape[1])
    pauses = gap_kind(batch.nows_ms - batch.times_ms)
    return torch.from_numpy(pauses), torch.from_numpy(log_age(ages)), positions[:, None] - positions


def _drop(x: Tensor, share: float, random: np.random.Generator | None) -> Tensor:
    """Returns `x` with about that share of it zero and the rest scaled up; bytes are the cheapest random numbers."""
    dropped = round(share * 256)
    if random is None or not dropped:
        return x
    kept = torch.from_numpy(random.integers(0, 256, tuple(x.shape), dtype=np.uint8) >= dropped)
    return x * kept * (256 / (256 - dropped))

"""Gradient steps, the running mean of the weights that they leave, and how both survive an interruption."""

import copy
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from learning.sequence.catalogue import Catalogue
from learning.sequence.loss import loss_of
from learning.sequence.model import SequenceModel
from learning.sequence.windows import Log, Windows

BETAS = (0.9, 0.98)
"""Of Adam. A shorter memory of squared gradients than usual: training takes hundreds of steps, not millions."""


class NotFinite(ArithmeticError):
    """Training diverged: weights or loss are not finite. Operator: a lower `learning_rate`, or check the texts."""


class Fitting:
    """A model in training.

    Attributes:
        model: its weights are those of the last step.
        random: draws windows, samples and dropout; torch's own generator is used by nothing here.
        steps: gradient steps so far.
    """

    def __init__(self, model: SequenceModel) -> None:
        config = model.config
        self.model, self.random, self.steps = model, np.random.default_rng(config.seed), 0
        self._mean = [weight.detach().clone() for weight in model.parameters()]
        self._adam = torch.optim.AdamW(
            model.parameters(), lr=config.learning_rate, betas=BETAS, weight_decay=config.weight_decay
        )

    def step(self, items: Catalogue, log: Log, windows: Windows) -> float:
        """Takes one gradient step and returns the loss before it.

        Raises:
            NotFinite: the loss is not a number.
        """
        config = self.model.config
        self.steps += 1
        for group in self._adam.param_groups:
            group["lr"] = config.learning_rate * min(1.0, self.steps / config.warmup)
        loss = loss_of(self.model, items, log, windows, self.random)
        if not torch.isfinite(loss):
            raise NotFinite(f"the loss of step {self.steps} is {loss.item()}")
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self._adam.step()
        kept = min(config.averaging, self.steps / (self.steps + 10))
        torch._foreach_lerp_(self._mean, [weight.detach() for weight in self.model.parameters()], 1 - kept)
        return float(loss.item())

    @contextmanager
    def averaged(self) -> Iterator[SequenceModel]:
        """Gives the model with the running mean of its weights, and puts the weights of the last step back."""
        last = [weight.detach().clone() for weight in self.model.parameters()]
        _fill(self.model, self._mean)
        try:
            yield self.model
        finally:
            _fill(self.model, last)

    def state(self) -> dict[str, Any]:
        """Returns everything that the next step depends on."""
        return {
            "model": copy.deepcopy(self.model.state_dict()),
            "mean": [mean.clone() for mean in self._mean],
            "adam": copy.deepcopy(self._adam.state_dict()),
            "steps": self.steps,
            "numpy": self.random.bit_generator.state,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continues where `state` was taken."""
        self.model.load_state_dict(state["model"])
        self._mean = [mean.clone() for mean in state["mean"]]
        self._adam.load_state_dict(copy.deepcopy(state["adam"]))
        self.steps = state["steps"]
        self.random.bit_generator.state = state["numpy"]


def _fill(model: SequenceModel, weights: list[Tensor]) -> None:
    with torch.no_grad():
        for weight, other in zip(model.parameters(), weights, strict=True):
            weight.copy_(other)


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Writes a checkpoint that appears whole or not at all."""
    draft = path.with_name(f".{path.name}.draft")
    torch.save(state, draft)
    os.replace(draft, path)


def load_checkpoint(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Returns the checkpoint of this very training, or None: there is none, of another log, or a damaged one."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except Exception:  # whatever a damaged file makes torch raise: training then begins anew
        return None
    return state if state.get("fingerprint") == fingerprint else None

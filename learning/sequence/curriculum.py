"""What a model is trained on, and for how long: early stopping, the finish on everything, the refresh."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from learning.sequence.catalogue import Catalogue
from learning.sequence.fitting import Fitting, load_checkpoint, save_checkpoint
from learning.sequence.validation import ndcg, ranks
from learning.sequence.windows import Log, Windows, batches, cut


class Progress(NamedTuple):
    """How far a training is.

    Attributes:
        stage: "fit" until it gets no better, "finish" on everything, or "refresh".
        done: epochs; in a refresh, steps.
        total: at most so many.
        loss: mean of the latest epoch or step.
        ndcg: nDCG@10 on the validation share; None where nothing is validated.
    """

    stage: str
    done: int
    total: int
    loss: float
    ndcg: float | None


class Curriculum:
    """One course of training.

    Attributes:
        fitting: the model in training.
        best: validation nDCG@10 of the weights that were kept; None without validation.
        curve: all progress so far.
    """

    def __init__(self, fitting: Fitting, report: Callable[[Progress], None] | None = None) -> None:
        self.fitting = fitting
        self.best: float | None = None
        self.curve: list[Progress] = []
        self._config = fitting.model.config
        self._report = report
        self._began_s = time.monotonic()

    @property
    def best_epoch(self) -> int:
        """The epoch of `fit` that predicted best, from 1; 0 before the first."""
        found = [point.ndcg for point in self.curve if point.ndcg is not None]
        return int(np.argmax(found)) + 1 if found else 0

    def fit(
        self, items: Catalogue, log: Log, validation: tuple[Log, Windows], checkpoint: Path | None, key: str
    ) -> None:
        """Trains on `log` until `patience` epochs in a row predict `validation` no better, and keeps the best.

        Args:
            items: the items of `log`.
            log: what is trained on.
            validation: a log and the windows of it that are predicted.
            checkpoint: file that is written after each epoch, and gone on from.
            key: fingerprint of all that the result depends on.
        """
        kept: dict[str, Any] | None = None
        saved = load_checkpoint(checkpoint, key) if checkpoint else None
        if saved:
            self.fitting.restore(saved["last"])
            self.best, kept = saved["best"], saved["kept"]
            self.curve = [Progress(*point) for point in saved["curve"]]
            self._began_s -= saved["spent_s"]
        while len(self.curve) < self._config.epochs and not self._stalled() and not self._late():
            loss = self._epoch(items, log)
            with self.fitting.averaged() as model:
                found = ndcg(ranks(model, items, *validation))
            if self.best is None or found > self.best:
                self.best, kept = found, self.fitting.state()
            self._tell(Progress("fit", len(self.curve) + 1, self._config.epochs, loss, found))
            if checkpoint:
                state = {"fingerprint": key, "last": self.fitting.state(), "best": self.best, "kept": kept}
                spent_s = time.monotonic() - self._began_s
                save_checkpoint(
                    checkpoint, state | {"curve": [tuple(point) for point in self.curve], "spent_s": spent_s}
                )
        if kept:
            self.fitting.restore(kept)

    def finish(self, items: Catalogue, log: Log, epochs: int) -> None:
        """Goes over everything so many times, without validation."""
        for epoch in range(epochs):
            if not self._late():
                self._tell(Progress("finish", epoch + 1, epochs, self._epoch(items, log), None))

    def refresh(self, items: Catalogue, log: Log, since_ms: int) -> None:
        """Takes `refresh_steps` steps, a share of them over what came at or after `since_ms`, the rest over everything.

        Steps over new events alone would make the model forget what it knew.
        """
        config = self._config
        sources = [self._endless(log, since_ms), self._endless(log, None)]
        for step in range(config.refresh_steps):
            windows = next(sources[int(self.fitting.random.random() >= config.refresh_recent)], None)
            if windows is None or self._late():
                continue
            self._tell(
                Progress("refresh", step + 1, config.refresh_steps, self.fitting.step(items, log, windows), None)
            )

    def _epoch(self, items: Catalogue, log: Log) -> float:
        losses = [self.fitting.step(items, log, windows) for windows in self._pass(log, None)]
        return float(np.mean(losses))

    def _pass(self, log: Log, since_ms: int | None) -> Iterator[Windows]:
        length, random = self._config.length, self.fitting.random
        shift = random.integers(0, length, len(log.bounds) - 1)
        return batches(cut(log, length, length, since_ms, shift), self._config.batch_events, random)

    def _endless(self, log: Log, since_ms: int | None) -> Iterator[Windows]:
        while True:
            empty = True
            for windows in self._pass(log, since_ms):
                empty = False
                yield windows
            if empty:
                return

    def _stalled(self) -> bool:
        return len(self.curve) - self.best_epoch >= self._config.patience

    def _late(self) -> bool:
        return time.monotonic() - self._began_s > self._config.seconds

    def _tell(self, point: Progress) -> None:
        self.curve.append(point)
        if self._report:
            self._report(point)

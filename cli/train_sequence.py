"""The sequence model from a log: trained, judged on the newest events beside the active one, brought up to date."""

import sys
from pathlib import Path

import msgspec
import numpy as np
import typer
from numpy.typing import NDArray
from tqdm import tqdm

from cli.candidates import Active, Candidate, compared
from cli.progress import progress
from cli.training_log import TrainingLog
from domain.errors import ConfigError, FreshetError
from learning.sequence.artefact import Artefact, read_artefact
from learning.sequence.config import SequenceConfig
from learning.sequence.curriculum import Progress
from learning.sequence.inference import SequenceEncoder
from learning.sequence.judged import Sequences, Tail, before, ranks_in, tail_of
from learning.sequence.training import train

TAIL_SHARE = 0.1
"""The newest events that are kept from training until the model has been judged on them."""

TAIL_EVENTS = 5_000
"""At most so many are judged: some seconds, and nDCG@10 to within a hundredth."""

FINISH_SHARE = 0.1
"""Of the time that training may take, what is left for bringing the model up to date."""


def train_sequence(
    log: TrainingLog, config: SequenceConfig, active: Active | None, checkpoint: Path | None, always: bool
) -> Candidate:
    """Trains on all but the newest events, compares on these, and if it is better goes on over everything.

    Args:
        log: what is learned from.
        config: shape and budget.
        active: what it is compared with.
        checkpoint: file that an interrupted training goes on from.
        always: bring it up to date even if it is no better, because it is going to be promoted all the same.

    Raises:
        ConfigError: there is nothing to learn from.
    """
    sequences, ids = log.sequences(), [item.item_id for item in log.items]
    if not any(len(np.unique(rows)) > 1 for rows, _ in sequences):
        raise ConfigError("the sequence model cannot be trained: nobody in the log chose two different items")
    earlier = _artefact(active)
    tail = tail_of(sequences, TAIL_SHARE, TAIL_EVENTS, earlier.facts.until_ms if earlier else None)
    fitting = msgspec.structs.replace(config, seconds=config.seconds * (1 - FINISH_SHARE))
    try:
        with _Bar() as bar:
            known = before(sequences, tail.since_ms)
            trained = train(known, log.vectors, ids, fitting, progress=bar.told, checkpoint=checkpoint).artefact
    except ValueError as error:
        raise ConfigError(f"the sequence model cannot be trained: {error}, up to the newest tenth of the log") from None
    ours = _ranks(trained, log, sequences, tail)
    theirs = None if earlier is None else _ranks(earlier, log, sequences, tail)
    found = compared(ours, tail.users, theirs, active.version if active else "")
    if earlier is not None:
        found.comparison["unseen_by_active"] = tail.fresh
    if found.better or always:
        finishing = msgspec.structs.replace(config, seconds=config.seconds * FINISH_SHARE)
        with _Bar() as bar:
            trained = train(sequences, log.vectors, ids, finishing, start_from=trained, progress=bar.told).artefact
    raw = trained.told(log.source).to_bytes()
    return Candidate("sequence", raw, found.metrics, found.comparison, log.told(), found.better)


def _artefact(active: Active | None) -> Artefact | None:
    """Returns what the active version holds; None, and says why, if this program cannot read it."""
    try:
        return None if active is None else read_artefact(active.raw)
    except FreshetError as error:
        typer.echo(f"compared with nothing: {error}", err=True)
        return None


def _ranks(artefact: Artefact, log: TrainingLog, sequences: Sequences, tail: Tail) -> NDArray[np.int64]:
    """(E,) rank of each event's item; the last place for a model of texts of another width."""
    if artefact.text_width != log.vectors.shape[1]:
        return np.full(len(tail.users), len(log.items))
    encoder = SequenceEncoder(artefact)
    items = encoder.item_vectors([item.item_id for item in log.items], log.vectors)
    found = progress(ranks_in(encoder, items, sequences, tail), "judging", "events", len(tail.users))
    return np.fromiter(found, np.int64)


class _Bar:
    """Shows the progress of a training on stderr; silent where nobody watches."""

    def __init__(self) -> None:
        self._bar = tqdm(file=sys.stderr, disable=None, leave=False, desc="training", unit=" epochs")

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()

    def told(self, point: Progress) -> None:
        """Takes one report."""
        self._bar.total = point.total
        self._bar.n = point.done
        known = {} if point.ndcg is None else {"ndcg": f"{point.ndcg:.4f}"}
        self._bar.set_description(f"training ({point.stage})", refresh=False)
        self._bar.set_postfix({"loss": f"{point.loss:.3f}"} | known)

"""From logs of interactions to a model that predicts the next one."""

import hashlib
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray

from learning.sequence.artefact import Artefact, Facts
from learning.sequence.catalogue import Catalogue, catalogue
from learning.sequence.config import SequenceConfig
from learning.sequence.curriculum import Curriculum, Progress
from learning.sequence.fitting import Fitting, NotFinite
from learning.sequence.model import SequenceModel
from learning.sequence.windows import Log, Windows, cut, flatten

Sequences = Sequence[tuple[NDArray[np.integer], NDArray[np.integer]]]
"""Each user's (rows of the item table, epoch milliseconds), ascending in time."""


class Trained(NamedTuple):
    """A trained model, and the progress that led to it."""

    artefact: Artefact
    curve: list[Progress]


def train(
    sequences: Sequences,
    texts: NDArray[np.float32],
    item_ids: Sequence[str],
    config: SequenceConfig | None = None,
    start_from: Artefact | None = None,
    progress: Callable[[Progress], None] | None = None,
    checkpoint: Path | None = None,
) -> Trained:
    """Trains the sequence model.

    Without `start_from`: passes over all but the newest events until these are predicted no better, then a few
    over everything. With it: some steps from there, over the events that came since and old ones mixed, in seconds.

    Args:
        sequences: U users' (item rows (T,), times in ms (T,)), ascending in time.
        texts: (N, D) float32 text embeddings; a zero row for an item without text.
        item_ids: N ids, in the order of the rows.
        config: shape and budget.
        start_from: an earlier artefact; its shape counts, not that of `config`.
        progress: called after each epoch.
        checkpoint: file that an interrupted training goes on from; deleted at the end.

    Raises:
        ValueError: no user touched two items, or the shapes do not fit together.
        NotFinite: training diverged.
    """
    config = config or SequenceConfig()
    log = _checked(sequences, texts, item_ids)
    texts = np.ascontiguousarray(texts, np.float32)
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        if start_from is None:
            course, items = _fit(log, texts, config, progress, checkpoint)
        else:
            course, items = _refresh(log, texts, item_ids, config, start_from, progress)
    facts = _facts(log, course, start_from)
    return Trained(_artefact(course.fitting, items, item_ids, facts), course.curve)


def _checked(sequences: Sequences, texts: NDArray[np.float32], item_ids: Sequence[str]) -> Log:
    if texts.ndim != 2 or len(texts) != len(item_ids):
        raise ValueError(f"{len(item_ids)} items, but texts of shape {texts.shape}")
    if not np.isfinite(texts).all():
        raise ValueError("text embeddings that are not finite")
    if any(len(rows) != len(times) for rows, times in sequences):
        raise ValueError("a user with another number of rows than of times")
    log = flatten(sequences)
    if len(log.rows) and not 0 <= log.rows.min() <= log.rows.max() < len(item_ids):
        raise ValueError(f"an item row outside 0..{len(item_ids) - 1}")
    if not len(log.rows) or np.diff(log.bounds).max() < 2:
        raise ValueError("nothing to learn from: no user touched two items")
    return log


def _fit(
    log: Log,
    texts: NDArray[np.float32],
    config: SequenceConfig,
    progress: Callable[[Progress], None] | None,
    checkpoint: Path | None,
) -> tuple[Curriculum, Catalogue]:
    course = Curriculum(Fitting(SequenceModel(config, *texts.shape)), progress)
    everything = catalogue(texts, log, config)
    earlier, validation = _split(log, config)
    if len(validation.start):
        seen = catalogue(texts, earlier, config)
        course.fit(seen, earlier, (log, validation), checkpoint, _fingerprint(log, texts, config))
        course.finish(everything, log, min(config.finish_epochs, math.ceil(course.best_epoch / 2)))
    else:
        course.finish(everything, log, config.epochs // 4)
    if checkpoint:
        checkpoint.unlink(missing_ok=True)
    return course, everything


def _split(log: Log, config: SequenceConfig) -> tuple[Log, Windows]:
    """Returns the log before the validation share, and the windows of `log` that predict this share.

    Without at least one event to learn from and one to predict there are no such windows.
    """
    since_ms = int(np.quantile(log.times_ms, 1 - config.validation_share, method="higher"))
    before = log.times_ms < since_ms
    lengths = np.add.reduceat(np.append(before, False), log.bounds[:-1]) * (np.diff(log.bounds) > 0)
    earlier = Log(log.rows[before], log.times_ms[before], np.concatenate([[0], np.cumsum(lengths)]))
    windows = cut(log, config.length, max(1, config.length // 2), since_ms)
    if lengths.max() < 2:
        windows = Windows(*(column[:0] for column in windows))
    return earlier, windows


def _refresh(
    log: Log,
    texts: NDArray[np.float32],
    item_ids: Sequence[str],
    config: SequenceConfig,
    start_from: Artefact,
    progress: Callable[[Progress], None] | None,
) -> tuple[Curriculum, Catalogue]:
    config = msgspec.structs.replace(
        config, **{name: getattr(start_from.config, name) for name in ("width", "layers", "heads", "length")}
    )
    if texts.shape[1] != start_from.text_width:
        raise ValueError(f"texts of width {texts.shape[1]}, the earlier model has {start_from.text_width}")
    items = catalogue(texts, log, config)
    model = SequenceModel(config, *texts.shape)
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    known = [(rows[item_id], at) for at, item_id in enumerate(start_from.item_ids) if item_id in rows]
    weights = {name: torch.from_numpy(array) for name, array in start_from.weights.items()}
    residual = torch.zeros_like(model.residual)
    if known:
        here, there = np.array(known).T
        residual[here] = weights["residual"][there] / items.gates[here].clamp(min=1e-3)
    model.load_state_dict(weights | {"residual": residual})
    course = Curriculum(Fitting(model), progress)
    course.refresh(items, log, start_from.facts.until_ms + 1)
    return course, items


def _facts(log: Log, course: Curriculum, start_from: Artefact | None) -> Facts:
    return Facts(
        ndcg=course.best,
        events=len(log.rows),
        from_ms=int(log.times_ms.min()),
        until_ms=int(log.times_ms.max()),
        steps=course.fitting.steps + (start_from.facts.steps if start_from else 0),
    )


def _artefact(fitting: Fitting, items: Catalogue, item_ids: Sequence[str], facts: Facts) -> Artefact:
    with fitting.averaged() as model:
        weights = {name: weight.detach().numpy().copy() for name, weight in model.state_dict().items()}
    weights["residual"] = (weights["residual"] * items.gates.numpy())[items.known]
    if not all(np.isfinite(weight).all() for weight in weights.values()):
        raise NotFinite("training left weights that are not finite")
    return Artefact(fitting.model.config, [item_ids[row] for row in items.known], weights, facts)


def _fingerprint(log: Log, texts: NDArray[np.float32], config: SequenceConfig) -> str:
    digest = hashlib.sha256(msgspec.json.encode(config))
    for array in (*log, texts):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

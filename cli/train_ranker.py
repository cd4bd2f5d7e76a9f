"""The ranker from a log: replayed, ranked and learned from, and compared with the active one on the same candidates."""

from collections.abc import Iterator
from time import monotonic

import numpy as np

from cli.candidates import Active, Candidate, compared
from cli.judging.judge import Judge
from cli.judging.world import World
from cli.progress import progress
from cli.training_log import TrainingLog
from domain.errors import ConfigError, FreshetError
from domain.settings import ServingSettings
from learning.ranker import Ranker
from serving.features import NAMES
from serving.pipeline import Slate
from serving.query import Query

MISSED = -1


def train_ranker(  # noqa: PLR0913, PLR0917  (what the command asks)
    log: TrainingLog,
    settings: ServingSettings,
    learn_on: int,
    seconds: float,
    active: Active | None,
    sequence: Active | None,
) -> Candidate:
    """Learns a ranker from nothing on the newest events, the first half unjudged.

    Before each event of the second half both rankers order the same candidates; then the candidate learns from
    what was chosen. The active one stays as replicas have it.

    Args:
        log: what is learned from.
        settings: as replicas have them.
        learn_on: so many of the newest events are learned from; what is older builds the state.
        seconds: learning ends after so long, with what it has.
        active: the ranker it is compared with.
        sequence: the sequence model that finds and scores candidates beside the others.

    Raises:
        ConfigError: fewer than two items were ever chosen, or nobody chose anything new.
    """
    if len({int(row) for rows, _ in log.sequences() for row in rows}) < 2:
        raise ConfigError("the ranker cannot be trained: fewer than two items of the catalogue were chosen in the log")
    world = world_of(log, settings, sequence)
    judge = Judge(world, log, None)
    start = max(0, len(log) - learn_on)
    judge.replay(progress(range(start), "replaying", "events"))
    theirs = None if active is None else _read(active)
    found = list(_learn(judge, range(start, len(log)), seconds, theirs))
    if not world.model.ranker().learned:
        raise ConfigError(f"nothing to learn from: in the newest {len(log) - start:,} events nobody chose a new item")
    columns = np.array(found, np.int64).reshape(-1, 3)
    told = compared(
        columns[:, 0], columns[:, 1], None if theirs is None else columns[:, 2], active.version if active else ""
    )
    trained_on = f"{world.model.ranker().learned:,} choices; {log.told()}"
    return Candidate("ranker", world.model.ranker().to_bytes(), told.metrics, told.comparison, trained_on, told.better)


def world_of(log: TrainingLog, settings: ServingSettings, sequence: Active | None) -> World:
    """Returns a world with the log's catalogue and the sequence model, before its first event."""
    world = World(settings, log.vectors.shape[1])
    for at, item in enumerate(log.items):
        world.put_items([item], log.vectors[at : at + 1], log.version, int(log.arrived_ms[at]))
    if sequence is not None:
        world.put_model("sequence", sequence.raw, int(log.times_ms.min()))
    return world


def _learn(judge: Judge, events: range, seconds: float, active: Ranker | None) -> Iterator[tuple[int, int, int]]:
    """Learns; gives the candidate's rank, the user's number and the active one's rank of the second half's events."""
    users: dict[str, int] = {}
    began_s, half = monotonic(), events.start + len(events) // 2
    for at in progress(events, "ranking and learning", "events"):
        spent_s = monotonic() - began_s
        if spent_s > seconds:
            return
        asked = judge.ask(judge.log.interaction(at))
        if asked is not None:
            query, slate, target = asked
            if at >= half or spent_s > seconds / 2:
                ours = rank_by(judge.world.model.ranker(), query, slate, target)
                theirs = MISSED if active is None else rank_by(active, query, slate, target)
                yield ours, users.setdefault(query.user_id, len(users)), theirs
            judge.choose(query, slate, target)
        judge.apply([at])


def rank_by(ranker: Ranker, query: Query, slate: Slate, target: int) -> int:
    """Returns the place that a ranker gives to a row among a slate's candidates, from 0; -1 if it is none of them."""
    at = np.flatnonzero(slate.rows == target)
    if not len(at):
        return MISSED
    scores = ranker.scores(slate.candidates, query.context)
    return int((scores >= scores[at[0]]).sum()) - 1


def _read(active: Active) -> Ranker | None:
    try:
        return Ranker.from_bytes(active.raw, NAMES)
    except FreshetError:
        return None

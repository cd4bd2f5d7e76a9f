"""Four ways to cut a log into what is learned from and what is judged.

Prequential is the one that means something here: before each event rank as serving would, then learn from it
(Dawid, Statistical theory: the prequential approach, J. R. Statist. Soc. A 147(2), 1984). Temporal hold-out and
leave-last-one-out are for comparison with papers; the latter leaks the future into what is learned. New items judges
what is made of texts, categories and dates alone.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from cli.judging.choices import Choices
from cli.judging.hidden import Hidden
from cli.judging.judge import Judge
from cli.judging.log import EventLog
from cli.judging.refreshing import SequenceRefresh
from cli.judging.world import World
from cli.progress import progress
from learning.sequence.config import SequenceConfig

NEWCOMER, NEWCOMERS = 5, 5_000
"""A user with fewer events is new; the ranker learns from so many of their choices before its warm-up."""

HELD_OUT = 0.1
"""Share of the log that the temporal protocol judges."""

SETTLING = 4_000
"""Leave-last-one-out: the ranker passes over so many of the newest choices again."""

SETTLED_WIDTH = 96
"""Leave-last-one-out: width of the sequence model. Trained once, it may be wider than one that is trained again every
so many events. Picked on MovieLens 100k, events before 80,000: recall@10 of the model alone, mean of two or three
seeds, .204 at 64, .221 at 96, .222 at 128."""


@dataclass(frozen=True)
class Plan:
    """How a backtest goes about it.

    Attributes:
        last: so many of the newest events are judged (prequential).
        warm_up: before them, so many events are ranked so that the ranker learns, and not judged.
        retrain_every: the sequence model is trained again after so many events; 0: there is none.
        training: how it is trained.
        say: where notes on the way go.
    """

    last: int
    warm_up: int
    retrain_every: int
    training: SequenceConfig
    say: Callable[[str], None]

    def refresh(self, first: int) -> SequenceRefresh | None:
        """Returns the trainer, its first training due after `first` events."""
        if not self.retrain_every:
            return None
        return SequenceRefresh(max(first, 1), self.retrain_every, self.training, self.say)


def prequential(world: World, log: EventLog, plan: Plan) -> Judge:
    """Judges the newest `last` events, each before it is learned from."""
    start = max(0, len(log) - plan.last)
    return _through(world, log, plan, len(log), start)


def new_items(world: World, log: EventLog, plan: Plan) -> Judge:
    """Judges those of the newest `last` events that choose one of a tenth of the items, kept new: see `Hidden`."""
    start = max(0, len(log) - plan.last)
    return _through(world, log, plan, len(log), start, hidden=Hidden(item.item_id for item in log.items))


def temporal(world: World, log: EventLog, plan: Plan) -> Judge:
    """Learns from the older part; then one slate for each user of the newest tenth, against all they touch in it."""
    cut = len(log) - max(1, int(len(log) * HELD_OUT))
    judge = _through(world, log, plan, cut, cut)
    wanted: dict[str, list[int]] = {}
    first: dict[str, int] = {}
    for at in range(cut, len(log)):
        one = log.interaction(at)
        row = judge.target(one)
        if row is not None:
            first.setdefault(one.user_id, at)
            wanted.setdefault(one.user_id, []).append(row)
    for user_id, at in progress(first.items(), "judging", "users"):
        query = world.query(user_id, int(log.times_ms[at]), count=10)
        query.reasons = False
        relevant = [row for row in dict.fromkeys(wanted[user_id]) if row not in query.seen]
        if relevant:
            judge.note(at, query, world.recommend(query), relevant)
    return judge


def last_one(world: World, log: EventLog, plan: Plan) -> Judge:
    """Learns from all but each user's last event, and judges these. Others' later events are known.

    All that is learned from is there at once, as in papers, so models are trained on all of it, pass after pass.
    """
    log, places = without_calendar(log)
    last = {log.interaction(at).user_id: at for at in range(len(log))}
    held = set(last.values())
    kept = [at for at in range(len(log)) if at not in held]
    rest = EventLog(log.items, [log.raw[at] for at in kept], log.times_ms[kept], log.refused, log.types)
    choices = Choices(SETTLING)
    judge = _through(world, rest, plan, len(rest), len(rest), choices)
    if judge.refresh is not None:
        judge.refresh.train_anew(world, SETTLED_WIDTH)
    world.put_model("ranker", choices.ranker().to_bytes(), int(log.times_ms[-1]))
    for at in progress(sorted(held), "judging", "users"):
        asked = judge.ask(log.interaction(at))
        if asked is not None:
            judge.note(int(places[at]), asked[0], asked[1], [asked[2]])
    return judge


def without_calendar(log: EventLog) -> tuple[EventLog, NDArray[np.int64]]:
    """Returns the log with each user's events moved by one span, so that their last one lies at the end of the log.

    Leave-last-one-out knows an order for each user and no calendar: asked at the time that an event had, a system
    that learned from everybody's future would hold popularity of one month against choices of another.

    Also returns each event's place in the log as it was, (E,) int64.
    """
    events = [log.interaction(at) for at in range(len(log))]
    last = {one.user_id: one.time_ms for one in events}
    end = int(log.times_ms[-1])
    moved = [msgspec.structs.replace(one, event_time=one.time_ms + end - last[one.user_id]) for one in events]
    times = np.array([one.time_ms for one in moved], np.int64)
    order = np.argsort(times, kind="stable")
    raw = [msgspec.json.encode(moved[at]) for at in order]
    return EventLog(log.items, raw, times[order], log.refused, log.types), order


def newcomers(log: EventLog, end: int) -> set[int]:
    """Returns the newest choices before `end` of users who were new then.

    They are rare in what the ranker warms up on, and other things guide them, so it learns from older ones as well.
    """
    counts: Counter[str] = Counter()
    found: list[int] = []
    for at in range(end):
        user_id = log.interaction(at).user_id
        if counts[user_id] < NEWCOMER:
            found.append(at)
        counts[user_id] += 1
    return set(found[-NEWCOMERS:])


def _through(  # noqa: PLR0913, PLR0917  (what the protocols differ in)
    world: World,
    log: EventLog,
    plan: Plan,
    end: int,
    start: int,
    choices: Choices | None = None,
    hidden: Hidden | None = None,
) -> Judge:
    """Learns from the log up to `end`; from `start` on judges, and for `warm_up` events before that ranks."""
    warm = max(0, start - plan.warm_up)
    judge = Judge(world, log, plan.refresh(warm), choices, hidden)
    judge.replay(progress(range(warm), "learning", "events"), newcomers(log, warm))
    if judge.refresh is not None:
        judge.refresh.advance(world, warm)
    for at in progress(np.arange(warm, end).tolist(), "ranking and learning", "events"):
        judge.step(at, at >= start)
    if judge.refresh is not None:
        judge.cases.trainings = judge.refresh.seconds
    return judge


PROTOCOLS: dict[str, Callable[[World, EventLog, Plan], Judge]] = {
    "prequential": prequential,
    "new-items": new_items,
    "temporal": temporal,
    "last-one": last_one,
}

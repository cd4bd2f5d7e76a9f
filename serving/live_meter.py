"""The live meter: where the item that a user chose next stood in the slate that serving had for them before.

A worker writes an event's signals before its profile, so when a profile arrives the read model may hold the very
event that is to be foretold. Therefore the meter asks ahead: when a followed user's profile is applied it has the
request path make their next slate, and remembers it; the user's next choice is looked up there. It asks off the
apply path, one slate at a time, and leaves out what does not fit. The replica starts and feeds it; it knows no Kafka.

A slate counts only if it was made before the event, which is held twice. By time: the replica's clock said less
when it was made than the event's arrival in Kafka. Arrivals are dated by the broker's or the producer's clock, so
a replica that is ahead of it loses judgements, and one that is behind would take slates that are too late. Hence
also by offset, for which no clock is asked: what the slate was made from, signals and interactions, ends before it.
"""

import asyncio
import logging
from collections import OrderedDict, deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from domain.clock import Clock
from domain.profile import Profile, Touch
from learning.metrics import hit, ndcg, reciprocal_rank
from learning.signals import pulls
from serving import metrics
from serving.pipeline import recommend
from serving.query import stored_query
from serving.read_model import ReadModel

log = logging.getLogger(__name__)

COUNT = 10
"""How long the slate is that is judged."""

KEPT = 100
"""Places of a slate that are remembered; an item further back has the reciprocal rank 0."""

REMEMBERED = 10_000
"""Users whose slate is remembered, some 7 MB; the one that was asked for longest ago goes first."""

QUEUED = 100
"""Users who wait for a prediction."""

WINDOW = 2_000
"""Judged events of a slice that its means are over."""

KNOWN_FROM = 5
"""Past events from which on a user counts as known; the backtest's slices `<5` and `5+ past events`."""

STRANGER = ""
"""A user id that nobody has."""

STRANGER_EVERY_MS = 5_000
STRANGERS_KEPT = 3
"""How often the slate of somebody unknown is made, and how many stay, for events that take long to get here."""

MAX_AGE_MS = 1_200_000
"""The bound of a sitting (learning.ranker.PAUSES_S): who comes back later is shown another slate than this one."""

LATE_MS = 60_000
"""An event dated so long before the slate was not chosen after it: a guest's history, an import, a backlog."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """A slate made before anybody knew what would be chosen.

    Attributes:
        rows: (R,) int32, the first KEPT at most, best first; (0,) if serving had nothing to show.
        made_ms: when, by the replica's clock.
        learned_to: highest offset that it may have been made from, of each partition that its users may be in.
    """

    rows: NDArray[np.int32]
    made_ms: int
    learned_to: Mapping[int, int]

    def rank(self, row: int) -> int:
        """Returns the place of a row, from 0; -1 if it is not among the remembered ones."""
        found = np.flatnonzero(self.rows == row)
        return int(found[0]) if len(found) else -1

    def unusable(self, choice: Touch, partition: int, arrived_ms: int) -> str | None:
        """Returns why this slate may not be judged by a choice, None if it may."""
        if self.made_ms >= arrived_ms or self.learned_to.get(partition, -1) >= choice.offset:
            return "after_event"
        if arrived_ms - self.made_ms > MAX_AGE_MS:
            return "old_slate"
        return "late_event" if choice.event_time < self.made_ms - LATE_MS else None


class Means:
    """Recall@10, nDCG@10 and reciprocal rank of one slice, over the last WINDOW judged events."""

    def __init__(self, name: str) -> None:
        self._judged = metrics.live_judged.labels(name)
        self._gauges = [one.labels(name) for one in (metrics.live_recall, metrics.live_ndcg, metrics.live_rank)]
        self._values = np.zeros((WINDOW, len(self._gauges)))
        self._count = 0

    def add(self, rank: int) -> None:
        """Takes one judged event: the item's rank, from 0; -1 for none."""
        ranks = np.array([rank])
        values = np.concatenate([hit(ranks, COUNT), ndcg(ranks, COUNT), reciprocal_rank(ranks)])
        self._values[self._count % WINDOW] = values
        self._count += 1
        self._judged.inc()
        for gauge, mean in zip(self._gauges, self._values[: self._count].mean(axis=0), strict=True):
            gauge.set(float(mean))


class LiveMeter:
    """Asks ahead for a share of the users and judges what came of it; `start` makes it the read model's watcher."""

    def __init__(self, model: ReadModel, clock: Clock, remembered: int = REMEMBERED, queued: int = QUEUED) -> None:
        self._model = model
        self._remembered, self._queued = remembered, queued
        self._clock = clock
        self._followed_below = round(model.settings.live_meter_share * 2**32)
        self._means = {name: Means(name) for name in ("new", "known")}
        self._ahead: OrderedDict[str, Ahead] = OrderedDict()
        self._strangers: deque[Ahead] = deque(maxlen=STRANGERS_KEPT)
        self._waiting: dict[str, int] = {}  # user and partition, in the order in which they came
        per_second = model.settings.live_meter_per_second
        self._allowed_at: deque[int] = deque(maxlen=max(1, int(per_second)))
        self._window_ms = 1000 * max(1, int(per_second)) / per_second
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to follow users, in the background; does nothing if the share is 0."""
        if self._followed_below:
            self._model.watcher = self
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stops; what was remembered is of no further use."""
        self._model.watcher = None
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def follows(self, user_id: str) -> bool:
        """Whether a user is in the sample: by a hash, so that it is the same users on every replica."""
        return crc32(user_id.encode()) < self._followed_below

    def applied(self, user_id: str, partition: int, old: Profile | None, new: Profile | None) -> None:
        """Judges what is new in a followed user's profile and asks ahead for what comes next; None: there is none."""
        held = old.touches if old else ()
        if new is not None and new.touches == held:
            return  # the slate that is remembered, or waited for, is still the right one
        ahead = self._ahead.pop(user_id, None)
        if new is None or not new.touches:
            self._waiting.pop(user_id, None)
            return
        known = {touch.event_id for touch in held}
        fresh = (one for one in new.touches if one.event_id not in known)
        # Those after the first would be judged by a slate that did not know the first.
        choice = next((one for one in fresh if pulls(one, self._model.types)), None)
        if choice is not None:
            slates = ([ahead] if ahead else []) if held else list(reversed(self._strangers))
            self._judge(choice, held, slates, partition, new.arrived_ms)
        self._ask(user_id, partition)

    def predict_next(self) -> bool:
        """Makes one slate, of the user who waits longest; False if nobody does."""
        if not self._waiting:
            return False
        user_id = next(iter(self._waiting))
        partition = self._waiting.pop(user_id)
        ahead = self._predict(user_id, {partition: self._model.known_to(partition)})
        if ahead is not None:
            self._ahead[user_id] = ahead
            if len(self._ahead) > self._remembered:
                self._ahead.popitem(last=False)
        return True

    def renew_stranger(self) -> None:
        """Makes the slate of somebody unknown if the last one is STRANGER_EVERY_MS old."""
        now = self._clock()
        if self._strangers and abs(now - self._strangers[-1].made_ms) < STRANGER_EVERY_MS:
            return
        if self._model.live and self._allowed(now):
            ahead = self._predict(STRANGER, dict(self._model.learned_to))
            if ahead is not None:
                self._strangers.append(ahead)

    async def _run(self) -> None:
        while True:
            self.renew_stranger()
            while self.predict_next():
                await asyncio.sleep(0)
            self._wake.clear()
            with suppress(TimeoutError):  # not wait_for: before Python 3.12 it may swallow the cancellation of `stop`
                async with asyncio.timeout(STRANGER_EVERY_MS / 1000):
                    await self._wake.wait()

    def _judge(
        self, choice: Touch, held: tuple[Touch, ...], slates: list[Ahead], partition: int, arrived_ms: int
    ) -> None:
        """Judges the first of the slates that is fit for it, newest first."""
        row = self._target(choice, held)
        if row is None:
            return
        reason: str | None = "no_slate"
        for slate in slates:
            reason = slate.unusable(choice, partition, arrived_ms)
            if reason is None:
                self._means["known" if len(held) >= KNOWN_FROM else "new"].add(slate.rank(row))
                return
        metrics.live_skipped.labels(reason).inc()

    def _target(self, choice: Touch, held: tuple[Touch, ...]) -> int | None:
        """Returns the row of a chosen item; None, and says why, if no slate could have held it."""
        catalogue, types = self._model.catalogue, self._model.types
        row = catalogue.rows.get(choice.item_id)
        if row is None or not catalogue.live[row]:
            metrics.live_skipped.labels("no_item").inc()
            return None
        if any(one.item_id == choice.item_id and one.type in types and types[one.type].marks_seen for one in held):
            metrics.live_skipped.labels("seen").inc()
            return None
        return row

    def _ask(self, user_id: str, partition: int) -> None:
        if user_id in self._waiting:
            return  # the slate will be made from the profile as it then is
        if len(self._waiting) >= self._queued:
            metrics.live_skipped.labels("queue_full").inc()
        elif not self._allowed(self._clock()):
            metrics.live_skipped.labels("rate").inc()
        else:
            self._waiting[user_id] = partition
            self._wake.set()

    def _allowed(self, now_ms: int) -> bool:
        """Whether the settings' predictions a second leave room for one more, and takes it."""
        made = self._allowed_at
        if len(made) == made.maxlen and abs(now_ms - made[0]) < self._window_ms:  # abs: clocks are set back
            return False
        made.append(now_ms)
        return True

    def _predict(self, user_id: str, learned_to: Mapping[int, int]) -> Ahead | None:
        started, now = perf_counter(), self._clock()
        try:
            query = stored_query(self._model, user_id, COUNT, now)
            query.reasons = False
            slate = recommend(query)
        except Exception:
            log.exception("no slate to judge for user %r", user_id)
            metrics.live_skipped.labels("failed").inc()
            return None
        finally:
            metrics.live_meter_seconds.observe(perf_counter() - started)
        return Ahead(slate.rows[slate.order[:KEPT]].astype(np.int32), now, learned_to)

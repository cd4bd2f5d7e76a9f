"""Follows the compacted topics: reads them whole, then keeps up. No consumer group, nothing committed."""

import asyncio
import logging
from collections.abc import Sequence
from itertools import count
from time import monotonic, perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from domain.clock import Clock, system_clock
from domain.errors import BrokerUnavailable, TopicError
from domain.garbage import none_collected
from domain.log_reader import Record, read_to_end
from domain.settings import ServingSettings
from domain.topics import ITEM_SIGNALS, USER_PROFILES
from serving import metrics
from serving.backlog import Backlog
from serving.consumers import assign_all, new_consumer
from serving.fetching import Fetching
from serving.progress import Outdated, Progress
from serving.read_model import ReadModel, summary
from serving.snapshot.place import Origin, origins
from serving.snapshot.snapshots import Snapshots, discarded

log = logging.getLogger(__name__)

TURN_S = 0.003
"""Applying lasts so long until others have their turn. Not a number of records, as they differ by a hundred times: too
few at a time, and under a load of requests, one of which each turn lets in, applying falls behind."""

LOOKS = 3
"""Looks at the event loop between two turns: so many a request takes from its socket to where it computes. With one, it
would wait for three turns."""

PART = 20
"""Records applied between two looks at the clock: some 1.5 ms of signals."""

PATIENCE_S = 1.0
"""Signals that have waited so long are all applied before anything else: only when none are left may a snapshot be
written, and is it known how current the replica is."""

PROBE_S = 1.0
"""How often the broker is asked for the ends; a replica says `stale` after this and PROBE_TIMEOUT_S at most."""

PROBE_TIMEOUT_S = 2.0

LOOK_EVERY = 10
"""Every so many probes, and after an outage, Kafka is asked whether the topics are still the same; 5 ms in a thread."""


class Follower:
    """Feeds a read model from Kafka, from its beginning or from where a snapshot or a broken connection left it.

    Attributes:
        ready: set once the ends seen at the start have been reached; unset only if all has to be read again.
        stale: the broker does not answer, or what a snapshot held has not been caught up yet.
        lag: records between what has been applied and the ends.
        heard_s: when the broker last answered; monotonic seconds.
    """

    def __init__(
        self,
        settings: ServingSettings,
        model: ReadModel,
        snapshots: Snapshots | None = None,
        clock: Clock = system_clock,
    ) -> None:
        self._settings = settings
        self._model = model
        self._snapshots = snapshots
        self._clock = clock
        self._origins = origins(settings)
        self._progress: Progress | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._more_to_settle = False
        self.ready = asyncio.Event()
        self.stale = False
        self.lag = 0
        self.heard_s = monotonic()

    async def start(self) -> None:
        """Begins to follow, in the background; a broker that is away is waited for."""
        metrics.lag_seconds.set_function(lambda: self.behind_s)
        self._tasks = [asyncio.create_task(self._follow())]

    async def stop(self) -> None:
        """Stops following, and writes a last snapshot."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._snapshots is not None:
            await self._snapshots.finish(self._progress.place() if self._progress else None)
        await asyncio.to_thread(self._origins.close)

    @property
    def behind_s(self) -> float:
        """Seconds since the last moment at which the replica knew all that was in Kafka; 0 before it was asked."""
        return max(0, self._clock() - self._progress.current_ms) / 1000 if self._progress else 0.0

    async def _follow(self) -> None:
        await self._load()
        pause_s = 0.2
        while True:
            consumer = new_consumer(self._settings)
            try:
                await consumer.start()
                await self._read(consumer)
            except (KafkaError, OSError, BrokerUnavailable, TopicError) as error:
                self._set_stale(True)
                log.warning("cannot follow Kafka yet (%s); trying again in %.1f s", error, pause_s)
            except Outdated as outdated:
                log.warning("connecting to Kafka again: %s", outdated)
                pause_s = 0.2
            except Exception:  # a replica that stopped following without a word would look well for ever
                self._set_stale(True)
                log.exception("following Kafka failed; trying again in %.1f s", pause_s)
            finally:
                await consumer.stop()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)

    async def _load(self) -> None:
        place = await self._snapshots.load() if self._snapshots else None
        if place is not None and self._snapshots is not None:
            self._progress = Progress.of(place)
            self.stale = True
            self.heard_s = monotonic() - max(0, self._clock() - place.current_ms) / 1000
            metrics.stale.set(1)
            if self._snapshots.ready_at_once:
                self._set_ready(True)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await assign_all(consumer, self._settings)
        progress = await self._resumed(consumer, partitions)
        if not self.ready.is_set():  # one that is ready catches up below, where requests are not held up
            await self._catch_up(consumer, partitions, progress)
        self._model.live = progress.is_current
        probe = asyncio.create_task(self._probe(consumer, partitions, progress))
        self._tasks.append(probe)
        try:
            await self._keep_up(consumer, progress)
        finally:
            probe.cancel()
            self._tasks.remove(probe)

    async def _keep_up(self, consumer: AIOKafkaConsumer, progress: Progress) -> None:
        """Applies what comes, profiles first: a request may wait for one, and for nothing else.

        Signals, which are most of the work and come before the profiles of the same events, wait until nothing else
        has come.
        """
        backlog, begun_s = Backlog(), monotonic()
        fetching = Fetching(consumer, self._settings.topic(USER_PROFILES))
        while True:
            fetched = await fetching.next(0 if len(backlog) or self._more_to_settle else 1)
            if not len(backlog):
                begun_s = monotonic()
            for where in sorted(fetched, key=lambda one: one.topic != self._settings.topic(USER_PROFILES)):
                if where.topic == self._settings.topic(ITEM_SIGNALS):
                    backlog.take(fetched[where])
                else:
                    await self._in_turns(fetched[where])
            await self._turn(backlog, progress)
            if backlog.is_full or monotonic() - begun_s > PATIENCE_S:
                while len(backlog):
                    await self._turn(backlog, progress)
            if not len(backlog):
                await self._between(consumer, progress)

    async def _catch_up(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], progress: Progress) -> None:
        started, asked_ms = perf_counter(), self._clock()
        self._model.begin_loading()
        with none_collected():
            await read_to_end(consumer, partitions, self._apply)
            await asyncio.to_thread(self._model.settle)
        await progress.nothing_in_hand(consumer)
        progress.has_caught_up(asked_ms)
        self.stale = False
        metrics.stale.set(0)
        self._set_ready(True)
        log.info("caught up in %.2f s: %s", perf_counter() - started, summary(self._model))

    async def _resumed(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> Progress:
        """Goes on from where reading stood; where that cannot be, forgets all and begins anew."""
        await asyncio.to_thread(self._origins.close)  # the name of the broker may lead to another cluster by now
        self._origins = origins(self._settings)
        origin = await self._origin()
        progress = self._progress
        if progress is not None:
            fault = await progress.resume(consumer, origin, self._clock(), self._settings.snapshot_max_age_s)
            if fault is None:
                return progress
            discarded(fault)
            self._set_ready(False)
            self._model.clear()
            consumer.assign(partitions)
        self._progress = Progress(origin, partitions, self._clock())
        return self._progress

    async def _origin(self) -> Origin:
        """Asks which log it is; raises what `origins` does."""
        try:
            return await asyncio.to_thread(next, self._origins)
        except BaseException:  # one that was not waited for may be asking still
            self._origins = origins(self._settings)
            raise

    async def _in_turns(self, records: Sequence[Record]) -> None:
        began = perf_counter()
        for at in range(0, len(records), PART):
            self._apply(records[at : at + PART])
            if perf_counter() - began >= TURN_S or at + PART >= len(records):
                await asyncio.sleep(0)
                began = perf_counter()

    async def _turn(self, backlog: Backlog, progress: Progress) -> None:
        """Applies signals for one turn, and lets others have theirs."""
        began = perf_counter()
        while len(backlog) and perf_counter() - began < TURN_S:
            some = backlog.give(PART)
            self._model.apply(some)
            for record in some:
                progress.applied(record)
        for _ in range(LOOKS):
            await asyncio.sleep(0)

    def _apply(self, records: Sequence[Record]) -> None:
        self._model.apply(records)
        if self._progress is not None:
            self._progress.applied(records[-1])

    async def _between(self, consumer: AIOKafkaConsumer, progress: Progress) -> None:
        """Does what needs a moment in which all that was fetched is applied."""
        self._more_to_settle = self._model.behaviour.settle_links(monotonic())
        await progress.look(consumer, self._settings.snapshot_max_age_s)
        self._model.live = progress.is_current
        if self._snapshots is not None and self._snapshots.is_due:
            await progress.nothing_in_hand(consumer)
            place = progress.place()
            if place is not None:
                await self._snapshots.save(place)

    async def _probe(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition], progress: Progress) -> None:
        for turn in count(1):
            try:
                asked_ms = self._clock()
                async with asyncio.timeout(PROBE_TIMEOUT_S):  # wait_for may swallow the cancellation of `stop`
                    ends = await consumer.end_offsets(partitions)
                if self.stale or turn % LOOK_EVERY == 0:
                    async with asyncio.timeout(PROBE_TIMEOUT_S):
                        progress.compare(await self._origin())
                progress.ask(asked_ms, ends)
                positions = [await consumer.position(one) for one in partitions]
                self.lag = sum(max(0, ends[one] - at) for one, at in zip(partitions, positions, strict=True))
                metrics.lag_records.set(self.lag)
                self.heard_s = monotonic()
                self._set_stale(not progress.is_current)
            except (KafkaError, OSError, TimeoutError, BrokerUnavailable):
                self._set_stale(True)
            for what, number in summary(self._model).items():
                metrics.held.labels(what).set(number)
            await asyncio.sleep(PROBE_S)

    def _set_ready(self, ready: bool) -> None:
        (self.ready.set if ready else self.ready.clear)()
        metrics.ready.set(ready)

    def _set_stale(self, stale: bool) -> None:
        if stale != self.stale:
            log.warning("Kafka is away, or ahead: answering from memory" if stale else "caught up with Kafka")
        self.stale = stale
        metrics.stale.set(stale)

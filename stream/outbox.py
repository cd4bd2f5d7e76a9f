"""What a worker writes to Kafka, in order, and the barrier that commits wait behind.

Agents put the effects of a batch here and go on; one task writes them. A batch's effects go in two steps:
first signals, dead letters and forwarded events, and only when Kafka has them, the profiles. So a profile
that reflects an offset proves that everything else which that offset gave rise to is durable, and a
redelivered event can be recognised by its user's profile alone.

All batches that wait take a step together, and the second step of some goes out with the first of the next: so
a batch is durable two answers of Kafka after its turn came, however many partitions bring one.
"""

import asyncio
import logging
import os
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder

from stream import metrics
from stream.leased_sends import only_with_lease
from stream.membership import Membership

log = logging.getLogger(__name__)

QUEUED_BATCHES = 8
"""Batches of effects that may wait while others are written; a full queue slows the agents down."""

LARGEST = 2 * 1_048_576
"""Twice what Kafka takes of a producer by default: a dead letter is its record and some headers."""

EXIT_BROKEN = 70
"""Exit code (EX_SOFTWARE) of a worker that cannot write; its supervisor starts it again from the last commit."""


Place = tuple[str, int | None]
"""A topic and a partition of it; None where each record's key decides."""


class Write(NamedTuple):
    """One record to be written. `partition` None lets the key decide."""

    topic: str
    key: bytes | None
    value: bytes | None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes]] = ()


class Effects(NamedTuple):
    """What one batch gives rise to: `first` must be durable before any of `then` is sent.

    `computed_s` is when it was computed, by `perf_counter`.
    """

    first: Sequence[Write]
    then: Sequence[Write] = ()
    computed_s: float | None = None


class Outbox:
    """Writes effects in the order in which they were put.

    A broker that is away is waited for. Anything else that goes wrong ends the process at once
    (`os._exit`): the effects' events were not committed, so they are read again after the restart, whereas
    an exception inside a Faust agent would have them acknowledged and lost.
    """

    def __init__(
        self, kafka_options: dict[str, Any], membership: Membership, step: Callable[[], None] = lambda: None
    ) -> None:
        """Connects to nothing before `start`.

        Args:
            kafka_options: how to reach Kafka, and what else an aiokafka producer takes.
            membership: is asked before each write; a worker that has lost its partitions ends.
            step: is called each time the effects of a batch are durable.
        """
        self._step = step
        self._options = kafka_options
        self.membership = membership
        self._producer: AIOKafkaProducer | None = None
        self._queue: asyncio.Queue[Effects] = asyncio.Queue(QUEUED_BATCHES)
        self._put = 0
        self._written = 0
        self._progress = asyncio.Condition()
        self._then: deque[tuple[int, Callable[[], None]]] = deque()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connects to Kafka and begins to write."""
        # aiokafka sends one batch at a time for each partition, so order holds without idempotence, which
        # the embedded broker does not offer to it; a batch sent twice writes the same values twice.
        self._producer = AIOKafkaProducer(**self._options, acks="all", max_batch_size=262_144, max_request_size=LARGEST)
        only_with_lease(self._producer, self.membership)
        await self._producer.start()
        self._task = asyncio.create_task(self._write_all(self._producer))

    async def put(self, effects: Effects) -> None:
        """Queues the effects of one batch; waits while the queue is full."""
        self._put += 1
        await self._queue.put(effects)

    def when_written(self, then: Callable[[], None]) -> None:
        """Calls back when everything put so far is durable in Kafka; at once if it is."""
        if self._written >= self._put:
            then()
        else:
            self._then.append((self._put, then))

    async def flush(self) -> None:
        """Returns when everything put so far is durable in Kafka."""
        goal = self._put  # what comes meanwhile need not be waited for
        async with self._progress:
            await self._progress.wait_for(lambda: self._written >= goal)

    async def stop(self) -> None:
        """Writes what is queued and disconnects."""
        if self._task is not None and self._producer is not None:
            await self.flush()
            self._task.cancel()
            await self._producer.stop()

    async def _write_all(self, producer: AIOKafkaProducer) -> None:
        try:
            begun: list[Effects] = []  # their first step is done
            while True:
                taken = await self._waiting(wait=not begun)
                first = [write for effects in taken for write in effects.first]
                then = [write for effects in begun for write in effects.then]
                await _write(producer, [*first, *then], self.membership)
                for effects in taken:
                    if effects.then and effects.computed_s is not None:
                        metrics.written.observe(perf_counter() - effects.computed_s)
                if begun:
                    await self._have_written(len(begun))
                begun = taken
        except asyncio.CancelledError:
            raise
        except BaseException:
            leave("the worker cannot write its results")

    async def _waiting(self, wait: bool) -> list[Effects]:
        """Takes all that is queued; waits for something to be, or returns nothing then."""
        taken = [await self._queue.get()] if wait else []
        while not self._queue.empty():
            taken.append(self._queue.get_nowait())
        return taken

    async def _have_written(self, count: int) -> None:
        self._step()
        async with self._progress:
            self._written += count
            self._progress.notify_all()
        while self._then and self._then[0][0] <= self._written:
            self._then.popleft()[1]()


def leave(why: str, with_traceback: bool = True) -> None:
    """Ends the process without letting anything be acknowledged. Call it from an except block."""
    log.critical("%s; ending the worker, which starts again from its last commit", why, exc_info=with_traceback)
    logging.shutdown()
    os._exit(EXIT_BROKEN)


async def _write(producer: AIOKafkaProducer, writes: Sequence[Write], membership: Membership) -> None:
    """Writes all, each place's records in order; what a broker that is away did not take is sent again."""
    pending = _by_place(writes)
    pause_s = 0.1
    while pending:
        await membership.assured()
        results = await asyncio.gather(*[_send(producer, *one) for one in pending.items()], return_exceptions=True)
        errors = [one for one in results if isinstance(one, BaseException)]
        for error in errors:
            if not may_pass(error):
                raise error
        # A place is sent again whole, so that a later value of a key is never overtaken by an earlier one.
        pending = {
            place: records
            for (place, records), result in zip(pending.items(), results, strict=True)
            if isinstance(result, BaseException)
        }
        if pending:
            log.warning("Kafka did not take %d batches; again in %.1f s (%s)", len(pending), pause_s, errors[0])
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)


def _by_place(writes: Sequence[Write]) -> dict[Place, list[Write]]:
    """Orders writes by where they go; of several values of a key only the newest: they are whole, and not waited for.

    Where the key decides on the partition, each record counts: events sent again, dead letters.
    """
    places: dict[Place, dict[object, Write]] = {}
    for number, one in enumerate(writes):
        place = places.setdefault((one.topic, one.partition), {})
        key = number if one.partition is None or one.key is None else one.key
        place.pop(key, None)  # so that it lies where the newest would
        place[key] = one
    return {place: list(found.values()) for place, found in places.items()}


def may_pass(error: BaseException) -> bool:
    """Whether sending again may help: the broker was away or slow, which aiokafka tells in two ways."""
    return isinstance(error, KafkaTimeoutError) or (isinstance(error, KafkaError) and bool(error.retriable))


async def _send(producer: AIOKafkaProducer, place: Place, writes: Sequence[Write]) -> None:
    topic, partition = place
    if partition is None:  # dead letters and events sent again: few, and their keys decide
        sent = [await producer.send(topic, one.value, key=one.key, headers=list(one.headers)) for one in writes]
    else:
        batches = _batches(producer, writes)
        sent = [await producer.send_batch(one, topic, partition=partition) for one in batches]
    await asyncio.gather(*sent)


def _batches(producer: AIOKafkaProducer, writes: Sequence[Write]) -> list[BatchBuilder]:
    """Builds Kafka batches directly: a tenth of what `send` costs for each record."""
    batches = [producer.create_batch()]
    for one in writes:
        record = {"timestamp": None, "key": one.key, "value": one.value, "headers": list(one.headers)}
        if batches[-1].append(**record) is None:  # full; the first record of a batch always fits
            batches.append(producer.create_batch())
            batches[-1].append(**record)
    return batches

"""Reads `interactions` beside what workers make of them, so that a slate reflects a click that only Kafka knows yet.

It begins at the ends: what lies before is the workers' to bring. It belongs to no group, commits nothing and keeps no
place, and when it cannot read, profiles come from the workers alone, some milliseconds later.
"""

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from domain.errors import BrokerUnavailable, TopicError
from domain.log_reader import Record
from domain.settings import ServingSettings
from domain.topics import INTERACTIONS
from serving import metrics
from serving.consumers import new_consumer, partitions_of
from serving.read_model import ReadModel

log = logging.getLogger(__name__)

FAR = 20_000
"""Records of a partition: who is so far behind its end, by a pause or because too much is written, goes on there. It
would show nothing sooner than the workers do."""

PART = 100
"""Records applied between two looks at the event loop, a millisecond."""

LONGEST_PAUSE_S = 5.0


class ReadAhead:
    """Feeds a read model the interactions as they reach Kafka; nothing before the replica is ready.

    Attributes:
        reading: whether it has found the ends and goes on from there.
    """

    def __init__(self, settings: ServingSettings, model: ReadModel, ready: asyncio.Event) -> None:
        """Connects to nothing before `start`."""
        self._settings = settings
        self._model = model
        self._ready = ready
        self._task: asyncio.Task[None] | None = None
        self.reading = False

    async def start(self) -> None:
        """Begins to read, in the background; a broker that is away is waited for."""
        metrics.pending.set_function(lambda: len(self._model.pending))
        if self._settings.read_ahead:
            self._task = asyncio.create_task(self._follow())

    async def stop(self) -> None:
        """Stops reading."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _follow(self) -> None:
        await self._ready.wait()
        pause_s = 0.2
        while True:
            consumer = new_consumer(self._settings)
            began = perf_counter()
            try:
                await consumer.start()
                await self._read(consumer)
            except (KafkaError, OSError, TimeoutError, BrokerUnavailable, TopicError) as error:
                log.warning("clicks are known when workers have dealt with them only (%s); trying again", error)
            except Exception:  # a replica that reads no further without a word would look well for ever
                log.exception("reading ahead failed; trying again")
            finally:
                self.reading = False
                await consumer.stop()
            pause_s = 0.2 if perf_counter() - began > LONGEST_PAUSE_S else min(pause_s * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await partitions_of(self._settings, [INTERACTIONS])
        consumer.assign(partitions)
        ends = await consumer.end_offsets(partitions)
        for one in partitions:
            at = self._model.pending.next_offset(one.partition)
            consumer.seek(one, at if at is not None and at <= ends[one] <= at + FAR else ends[one])
        self.reading = True
        while True:
            for where, records in (await consumer.getmany(timeout_ms=1000)).items():
                await self._apply(consumer, where, records)

    async def _apply(self, consumer: AIOKafkaConsumer, where: TopicPartition, records: Sequence[Record]) -> None:
        end = consumer.highwater(where) or 0
        if end - records[0].offset > FAR:
            consumer.seek(where, end)
            return
        for at in range(0, len(records), PART):
            self._model.apply_ahead(records[at : at + PART])
            await asyncio.sleep(0)

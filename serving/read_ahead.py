"""Reads `interactions` beside what workers make of them, so that a slate reflects a click that only Kafka knows yet.

It begins where workers have not been yet, as far as the replica knows. It belongs to no group, commits nothing and
keeps no place, and while it cannot read, profiles come from the workers alone, some milliseconds later.
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
"""Records of a partition that are read at most before its end: who is further behind, as workers are or by a pause,
does not read what lies before. Two tenths of a second of work, some megabytes."""

PART = 100
"""Records applied between two looks at the event loop, a millisecond."""

LONGEST_PAUSE_S = 5.0


class ReadAhead:
    """Feeds a read model the interactions as they reach Kafka, from when the replica is first ready."""

    def __init__(self, settings: ServingSettings, model: ReadModel, ready: asyncio.Event) -> None:
        """Connects to nothing before `start`."""
        self._settings = settings
        self._model = model
        self._ready = ready
        self._task: asyncio.Task[None] | None = None

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
                metrics.reads_ahead.set(0)
                await consumer.stop()
            pause_s = 0.2 if perf_counter() - began > LONGEST_PAUSE_S else min(pause_s * 2, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await partitions_of(self._settings, [INTERACTIONS])
        ends = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for one in partitions:
            self._go_on(consumer, one, max(self._model.pending.next_offset(one.partition), ends[one] - FAR))
        metrics.reads_ahead.set(1)
        while True:
            for where, records in (await consumer.getmany(timeout_ms=1000)).items():
                await self._apply(consumer, where, records)

    async def _apply(self, consumer: AIOKafkaConsumer, where: TopicPartition, records: Sequence[Record]) -> None:
        first = (consumer.highwater(where) or 0) - FAR
        if records[-1].offset < first:
            self._go_on(consumer, where, first)
            return
        if records[0].offset < first:
            self._model.pending.begin(where.partition, first)
            records = [one for one in records if one.offset >= first]
        for at in range(0, len(records), PART):
            self._model.apply_ahead(records[at : at + PART])
            await asyncio.sleep(0)

    def _go_on(self, consumer: AIOKafkaConsumer, where: TopicPartition, offset: int) -> None:
        consumer.seek(where, offset)
        self._model.pending.begin(where.partition, offset)

"""Follows the compacted topics: reads them whole, then keeps up. No consumer group, nothing committed."""

import asyncio
import logging
from time import monotonic, perf_counter
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from domain.errors import TopicError
from domain.log_reader import read_to_end
from domain.settings import KafkaSettings
from serving import metrics
from serving.read_model import FOLLOWED, ReadModel, summary

log = logging.getLogger(__name__)

PART = 500
"""Records applied between two looks at the event loop: some 5 ms, so that requests are not held up."""

PROBE_S = 1.0
"""How often the broker is asked for the ends; a replica says `stale` after this and PROBE_TIMEOUT_S at most."""

PROBE_TIMEOUT_S = 2.0


class Follower:
    """Feeds a read model from Kafka.

    Attributes:
        ready: set once the ends seen at the start have been reached; never unset.
        stale: the broker does not answer; what is in memory goes on being served.
        lag: records between what has been applied and the ends.
        heard_s: when the broker last answered; monotonic seconds.
    """

    def __init__(self, settings: KafkaSettings, model: ReadModel) -> None:
        self._settings = settings
        self._model = model
        self._tasks: list[asyncio.Task[None]] = []
        self.ready = asyncio.Event()
        self.stale = False
        self.lag = 0
        self.heard_s = monotonic()

    async def start(self) -> None:
        """Begins to follow, in the background; a broker that is away is waited for."""
        self._tasks = [asyncio.create_task(self._follow())]

    async def stop(self) -> None:
        """Stops following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self) -> None:
        pause_s = 0.2
        while True:
            consumer = new_consumer(self._settings)
            try:
                await consumer.start()
                await self._read(consumer)
            except (KafkaError, OSError, TopicError) as error:
                self._set_stale(True)
                log.warning("cannot follow Kafka yet (%s); trying again in %.1f s", error, pause_s)
            except Exception:  # a replica that stopped following without a word would look well for ever
                self._set_stale(True)
                log.exception("following Kafka failed; trying again in %.1f s", pause_s)
            finally:
                await consumer.stop()
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 5.0)

    async def _read(self, consumer: AIOKafkaConsumer) -> None:
        partitions = await assign_all(consumer, self._settings)
        started = perf_counter()
        await read_to_end(consumer, partitions, self._model.apply)
        self._model.live = True
        self.ready.set()
        metrics.ready.set(1)
        log.info("caught up in %.2f s: %s", perf_counter() - started, summary(self._model))
        probe = asyncio.create_task(self._probe(consumer, partitions))
        self._tasks.append(probe)
        try:
            while True:
                # Without a bound on the records each fetch comes out whole, and positions stay true.
                for records in (await consumer.getmany(timeout_ms=1000)).values():
                    for at in range(0, len(records), PART):
                        self._model.apply(records[at : at + PART])
                        await asyncio.sleep(0)
        finally:
            probe.cancel()
            self._tasks.remove(probe)

    async def _probe(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> None:
        while True:
            try:
                ends = await asyncio.wait_for(consumer.end_offsets(partitions), PROBE_TIMEOUT_S)
                positions = [await consumer.position(one) for one in partitions]
                self.lag = sum(max(0, ends[one] - at) for one, at in zip(partitions, positions, strict=True))
                metrics.lag_records.set(self.lag)
                self.heard_s = monotonic()
                self._set_stale(False)
            except (KafkaError, OSError, TimeoutError):
                self._set_stale(True)
            for what, count in summary(self._model).items():
                metrics.held.labels(what).set(count)
            await asyncio.sleep(PROBE_S)

    def _set_stale(self, stale: bool) -> None:
        if stale != self.stale:
            log.warning("Kafka is away: answering from memory" if stale else "Kafka is back")
        self.stale = stale
        metrics.stale.set(stale)


def new_consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    """Returns a consumer that belongs to no group and commits nothing."""
    return AIOKafkaConsumer(
        **settings.kafka_options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        max_partition_fetch_bytes=8_388_608,
    )


async def assign_all(consumer: AIOKafkaConsumer, settings: KafkaSettings) -> list[TopicPartition]:
    """Assigns every partition of the followed topics to a consumer and returns them.

    Raises:
        TopicError: a topic does not exist.
    """
    names = [settings.topic(name) for name in FOLLOWED]
    found: list[TopicPartition] = []
    for told in await _described(names, settings):
        if told["error_code"] or not told["partitions"]:
            generation = f" (FRESHET_GENERATION={settings.generation})" if settings.generation else ""
            raise TopicError(f"topic {told['topic']} does not exist{generation}; run: freshet topics create")
        found += sorted(TopicPartition(told["topic"], one["partition"]) for one in told["partitions"])
    consumer.assign(found)
    return found


async def _described(topics: list[str], settings: KafkaSettings) -> list[dict[str, Any]]:
    admin = AIOKafkaAdminClient(**settings.kafka_options())
    try:
        await admin.start()
        described: list[dict[str, Any]] = await admin.describe_topics(topics)
        return described
    finally:
        await admin.close()

"""The ends of the log, asked of Kafka itself: the newest records, how many there are, what waits for the workers."""

import heapq
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import monotonic
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from domain.errors import TopicError
from domain.log_reader import Record, reader_options
from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS, INTERACTIONS, ITEMS, MARK_HEADER, STREAM_GROUP, USERS

SHOWN = (INTERACTIONS, DEAD_LETTERS)
READ_BY_WORKERS = (INTERACTIONS, USERS, ITEMS)

NEWEST = 30
"""Records of a partition that are fetched at a time, and of a topic that are kept."""

READ_FOR_S = 0.5
"""The longest to wait for records that the ends promise; what is later comes the next time."""

Offsets = Mapping[TopicPartition, int]


@dataclass(frozen=True)
class Ends:
    """What one reading found; see domain.live.LogEnds. `counts` and `newest` are by the topic's short name."""

    read_ms: int
    counts: Mapping[str, int]
    waiting: int | None
    newest: Mapping[str, Sequence[Record]]


class EndsReader:
    """Reads the ends alone, however much flows: what lies further back than NEWEST is skipped over, not fetched."""

    def __init__(self, settings: KafkaSettings, consumer: AIOKafkaConsumer, admin: AIOKafkaAdminClient) -> None:
        self._settings = settings
        self._consumer = consumer
        self._admin = admin
        self._places: dict[str, list[TopicPartition]] = {}
        self._newest: dict[str, list[Record]] = {name: [] for name in SHOWN}

    @classmethod
    async def open(cls, settings: KafkaSettings, stack: AsyncExitStack) -> Self:
        """Connects; the stack's end disconnects.

        Raises:
            TopicError: a topic does not exist.
            KafkaError, OSError: no broker answers.
        """
        # A fetch that waits for data holds up, on its connection, who asks for the ends: so short, and none in between.
        options = reader_options(settings) | {"fetch_max_wait_ms": 20, "max_partition_fetch_bytes": 1_048_576}
        consumer, admin = AIOKafkaConsumer(**options), AIOKafkaAdminClient(**settings.kafka_options())
        stack.push_async_callback(consumer.stop)
        stack.push_async_callback(admin.close)
        await consumer.start()
        await admin.start()
        reader = cls(settings, consumer, admin)
        await reader._assign()
        return reader

    async def read(self, now_ms: int) -> Ends:
        """Asks once; some milliseconds of the broker's time."""
        shown = [place for name in SHOWN for place in self._places[name]]
        places = [place for found in self._places.values() for place in found]
        starts, ends = await self._consumer.beginning_offsets(places), await self._consumer.end_offsets(places)
        await self._fetch(shown, starts, ends)
        for place in shown:  # the embedded broker's ends are too low, by up to a batch
            ends[place] = max(ends[place], await self._consumer.position(place))
        counts = {name: sum(ends[one] - starts[one] for one in self._places[name]) for name in SHOWN}
        newest = {name: list(records) for name, records in self._newest.items()}
        return Ends(now_ms, counts, await self._waiting(starts, ends), newest)

    async def _assign(self) -> None:
        topics = {self._settings.topic(name): name for name in {*SHOWN, *READ_BY_WORKERS}}
        for told in await self._admin.describe_topics(list(topics)):
            topic = told["topic"]
            if told["error_code"] or not told["partitions"]:
                raise TopicError(f"topic {topic} does not exist; run: freshet topics create")
            found = sorted(one["partition"] for one in told["partitions"])
            self._places[topics[topic]] = [TopicPartition(topic, one) for one in found]
        shown = [place for name in SHOWN for place in self._places[name]]
        self._consumer.assign(shown)
        self._consumer.pause(*shown)

    async def _fetch(self, shown: Sequence[TopicPartition], starts: Offsets, ends: Offsets) -> None:
        for place in shown:
            first = max(starts[place], ends[place] - NEWEST)
            if await self._consumer.position(place) < first:
                self._consumer.seek(place, first)
        deadline = monotonic() + READ_FOR_S
        while monotonic() < deadline and (behind := await self._behind(shown, ends)):
            self._consumer.resume(*behind)
            for place, records in (await self._consumer.getmany(timeout_ms=50)).items():
                self._keep(place.topic, records)
        self._consumer.pause(*shown)

    async def _behind(self, places: Sequence[TopicPartition], ends: Offsets) -> list[TopicPartition]:
        return [one for one in places if await self._consumer.position(one) < ends[one]]

    def _keep(self, topic: str, records: Sequence[Record]) -> None:
        name = next(one for one in SHOWN if self._settings.topic(one) == topic)
        wanted = [one for one in records if MARK_HEADER not in dict(one.headers)]
        self._newest[name] = heapq.nlargest(
            NEWEST, [*wanted, *self._newest[name]], key=lambda one: (one.timestamp, one.partition, one.offset)
        )

    async def _waiting(self, starts: Offsets, ends: Offsets) -> int | None:
        places = [place for name in READ_BY_WORKERS for place in self._places[name]]
        try:
            done = await self._admin.list_consumer_group_offsets(self._settings.topic(STREAM_GROUP), partitions=places)
        except KafkaError:
            return None  # not every broker lets everybody ask
        if not done.keys() >= set(places):
            return None  # a coordinator that is still starting answers with nothing
        waiting = [ends[place] - max(starts[place], int(done[place].offset)) for place in places]
        return sum(max(0, one) for one in waiting)

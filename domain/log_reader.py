"""Reading a topic's partitions to their end: how derived state comes back before anything is added to it.

The Kafka client is handed in, so this room stays free of it; the stream worker restores its partitions
with this, a serving replica its whole read model, and `freshet state hash` and `freshet doctor` read the
same way.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from domain.settings import KafkaSettings

Headers = Sequence[tuple[str, bytes]]

PIECE = 2_000
"""Records applied between two looks at the event loop, where the client asks for more and takes in what has come."""


class Record(Protocol):
    """One Kafka record, as aiokafka hands it out. `timestamp` is epoch milliseconds."""

    @property
    def topic(self) -> str: ...  # noqa: D102
    @property
    def partition(self) -> int: ...  # noqa: D102
    @property
    def offset(self) -> int: ...  # noqa: D102
    @property
    def timestamp(self) -> int: ...  # noqa: D102
    @property
    def key(self) -> bytes | None: ...  # noqa: D102
    @property
    def value(self) -> bytes | None: ...  # noqa: D102
    @property
    def headers(self) -> Headers: ...  # noqa: D102


class LogRecord(msgspec.Struct, frozen=True, gc=False):
    """A `Record` that holds no more than that: what is made of Kafka's, and what is made without."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def as_log_record(_: object, place: Any, one: Any) -> LogRecord:  # noqa: ANN401 - aiokafka has no types
    """Stands in for aiokafka's `PartitionRecords._consumer_record`, which makes a record with four fields more."""
    return LogRecord(place.topic, place.partition, one.offset, one.timestamp, one.key, one.value, tuple(one.headers))


class LogConsumer(Protocol):
    """What reading needs of a consumer: aiokafka's, with partitions assigned and no group."""

    async def beginning_offsets(self, partitions: Iterable[Any]) -> Mapping[Any, int]: ...  # noqa: D102
    async def end_offsets(self, partitions: Iterable[Any]) -> Mapping[Any, int]: ...  # noqa: D102
    async def position(self, partition: Any) -> int: ...  # noqa: ANN401, D102
    async def getmany(self, *, timeout_ms: int) -> Mapping[Any, Sequence[Record]]: ...  # noqa: D102


def reader_options(settings: KafkaSettings) -> dict[str, Any]:
    """Returns the arguments of an aiokafka consumer that reads a log: in no group, committing nothing.

    Where retention deletes what is being read, it goes on with the oldest there is.
    """
    return settings.kafka_options() | {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "fetch_max_wait_ms": settings.fetch_max_wait_ms,
        "max_partition_fetch_bytes": 8_388_608,
    }


async def read_to_end(
    consumer: LogConsumer, partitions: Sequence[Any], apply: Callable[[Sequence[Record]], None]
) -> None:
    """Hands every record up to the ends seen at the start to `apply`, some at a time, in order within a partition.

    Whole fetches are applied, however far they reach: the embedded broker reports as the end of a
    partition the first record of its last batch plus one. A partition whose end equals its beginning is
    done at once, and the consumer's position counts, not the last record's offset: compaction and
    transaction markers leave holes.
    """
    ends = await consumer.end_offsets(partitions)
    starts = await consumer.beginning_offsets(partitions)
    missing = {one for one in partitions if ends[one] > starts[one]}
    while missing:
        for records in (await consumer.getmany(timeout_ms=200)).values():
            for at in range(0, len(records), PIECE):
                await asyncio.sleep(0)
                apply(records[at : at + PIECE])
        missing = {one for one in missing if await consumer.position(one) < ends[one]}

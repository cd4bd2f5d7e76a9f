"""What waits for the workers: how much, and since when. Asked of Kafka itself over connections of its own.

The worker's watchdog and `freshet doctor` ask it, so both mean the same by a record that waits.
"""

import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec

from domain.settings import KafkaSettings
from domain.topics import INTERACTIONS, ITEMS, STREAM_GROUP, USERS

READ_TOPICS = (INTERACTIONS, USERS, ITEMS)
"""What the workers read."""

PATIENCE_S = 5.0
"""How long to look for the oldest record; it came in some milliseconds from the brokers that were tried."""


class Backlog(NamedTuple):
    """A partition's: where the group has read to, and where the log ends."""

    read: int
    end: int

    @property
    def records(self) -> int:
        """How many records wait, at most: transaction markers and compacted records count as well."""
        return max(0, self.end - self.read)


class Waiting(NamedTuple):
    """A partition's oldest record that the group has not read; `arrived_ms` is the record's own timestamp."""

    topic: str
    partition: int
    offset: int
    arrived_ms: int


Backlogs = Mapping[TopicPartition, Backlog]


def backlogs(admin: Any, settings: KafkaSettings, partitions: Mapping[str, int]) -> Backlogs:  # noqa: ANN401
    """Returns the backlog of each partition that the workers read.

    Args:
        admin: a KafkaAdminClient.
        settings: which topics.
        partitions: how many partitions each of READ_TOPICS has.
    """
    group = settings.topic(STREAM_GROUP)
    places = [TopicPartition(settings.topic(name), one) for name, count in partitions.items() for one in range(count)]
    done = committed(admin, group)
    starts, ends = bounds(admin, places)
    read = {one: max(starts[one], done.get(one, 0)) for one in places}
    return {one: Backlog(read[one], ends[one]) for one in places}


def committed(admin: Any, group: str) -> dict[Any, int]:  # noqa: ANN401
    """Returns the offsets at which a consumer group goes on; without those it committed nothing of."""
    return {place: at.offset for place, at in admin.list_group_offsets([group])[group].items()}


def bounds(admin: Any, places: Iterable[TopicPartition]) -> tuple[dict[Any, int], dict[Any, int]]:  # noqa: ANN401
    """Returns the first and the end offset of each partition."""
    starts, ends = (
        {place: at.offset for place, at in admin.list_partition_offsets(dict.fromkeys(places, spec)).items()}
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    return starts, ends


def oldest_waiting(settings: KafkaSettings, found: Backlogs) -> list[Waiting]:
    """Reads the oldest record that waits in each partition with a backlog.

    A partition whose backlog holds no record (the marker of a transaction, compacted records) is left out,
    and so is one that Kafka gives nothing of in time.
    """
    missing = {place for place, backlog in found.items() if backlog.records}
    if not missing:
        return []
    consumer = KafkaConsumer(
        **settings.kafka_options(),
        group_id=None,
        enable_auto_commit=False,
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        max_partition_fetch_bytes=1,  # a broker gives one batch all the same
        allow_auto_create_topics=False,
    )
    try:
        consumer.assign(list(missing))
        for place in missing:
            consumer.seek(place, found[place].read)
        waiting: dict[TopicPartition, Waiting] = {}
        deadline = time.monotonic() + PATIENCE_S
        while missing and time.monotonic() < deadline:
            for place, records in consumer.poll(timeout_ms=200).items():
                first = records[0]
                waiting.setdefault(place, Waiting(place.topic, place.partition, first.offset, first.timestamp))
            missing = {one for one in missing - waiting.keys() if consumer.position(one) < found[one].end}
            consumer.pause(*waiting)
        return list(waiting.values())
    finally:
        consumer.close()

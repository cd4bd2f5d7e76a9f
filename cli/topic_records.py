"""A topic read to its end, without a consumer group: nothing is committed, nobody rebalances."""

import time
from collections.abc import Iterator
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from cli.kafka_clients import connected
from cli.letters import STALL_S, WHOLE_FETCHES
from domain.errors import BrokerUnavailable, TopicError
from domain.settings import KafkaSettings


def records_of(settings: KafkaSettings, name: str) -> Iterator[Any]:
    """Gives the records of one of the design's topics up to the ends seen at the start, in order within a partition.

    Raises:
        BrokerUnavailable: no broker answered, or it stopped answering.
        TopicError: the topic is missing.
    """
    topic = settings.topic(name)
    options: dict[str, Any] = {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_poll_records": WHOLE_FETCHES,
        "fetch_max_wait_ms": settings.fetch_max_wait_ms,
        "allow_auto_create_topics": False,
    }
    with connected(KafkaConsumer, settings, **options) as consumer:
        partitions = [TopicPartition(topic, one) for one in sorted(consumer.partitions_for_topic(topic) or ())]
        if not partitions:
            raise TopicError(f"topic {topic} is missing; run: freshet topics create")
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        yield from _read(consumer, consumer.end_offsets(partitions), name)


def _read(consumer: Any, ends: dict[Any, int], name: str) -> Iterator[Any]:  # noqa: ANN401 - kafka-python has no types
    deadline = time.monotonic() + STALL_S
    while any(consumer.position(one) < end for one, end in ends.items()):
        for records in consumer.poll(timeout_ms=500).values():
            yield from records
            deadline = time.monotonic() + STALL_S
        if time.monotonic() > deadline:
            raise BrokerUnavailable(f"Kafka gave no {name} for {STALL_S:g} s, though there are more; try again")

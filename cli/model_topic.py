"""The topic `models` as it lies in Kafka: read to its end without a group, and written in order."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from cli.kafka_clients import connected
from cli.model_contents import Contents
from domain.errors import BrokerUnavailable, DeliveryError, TopicError
from domain.settings import KafkaSettings
from domain.topics import MODELS

STALL_S = 20.0
"""How long a broker may give nothing before its end is reached."""

WHOLE_FETCHES = 1_000_000
"""The embedded broker reports the first record of its last batch plus one as a partition's end, so a fetch
must come out whole."""

FETCH_BYTES = 8_388_608
DELIVERY_MS = 60_000
"""How long Kafka may take to confirm what is on its way, over a slow line too."""


def read_contents(settings: KafkaSettings) -> Contents:
    """Reads the topic and returns what lies on it, without the artefacts' bytes.

    Raises:
        BrokerUnavailable, TopicError: as `read_records`.
        MalformedEvent: a pointer was written by a newer Freshet.
    """
    contents = Contents()
    for key, raw, written_ms in read_records(settings):
        contents.put(key, raw, written_ms)
    return contents


def read_records(settings: KafkaSettings) -> Iterator[tuple[str, bytes | None, int]]:
    """Gives key, value and time of writing (epoch ms) of every record up to the end seen at the start, in order.

    Raises:
        BrokerUnavailable: no broker answered, or it stopped answering.
        TopicError: the topic is missing.
    """
    place = TopicPartition(settings.topic(MODELS), 0)
    with _consumer(settings) as consumer:
        if not consumer.partitions_for_topic(place.topic):
            raise TopicError(f"topic {place.topic} is missing; run: freshet topics create")
        consumer.assign([place])
        start, end = consumer.beginning_offsets([place])[place], consumer.end_offsets([place])[place]
        deadline = time.monotonic() + STALL_S
        while start < end and consumer.position(place) < end:
            for record in consumer.poll(timeout_ms=500).get(place, ()):
                yield (record.key or b"").decode(errors="replace"), record.value, record.timestamp
                deadline = time.monotonic() + STALL_S
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"Kafka gave no models for {STALL_S:g} s, though there are more; try again")


def send_records(settings: KafkaSettings, *stages: Iterable[tuple[str, bytes | None]]) -> None:
    """Writes records in order, each stage once Kafka has confirmed the one before; None deletes a key.

    What is small in a stage goes in one batch, which Kafka takes whole or not at all.

    Raises:
        BrokerUnavailable: no broker answered.
        DeliveryError: Kafka did not take a record; nothing of the stages after it has been sent.
    """
    options = {"acks": "all", "enable_idempotence": True, "allow_auto_create_topics": False, "linger_ms": 1_000}
    timeouts = {"delivery_timeout_ms": DELIVERY_MS, "request_timeout_ms": 20_000, "max_block_ms": 10_000}
    with connected(KafkaProducer, settings, **options, **timeouts) as producer:
        for stage in stages:
            failures: list[BaseException] = []
            for key, raw in stage:
                sent = producer.send(settings.topic(MODELS), key=key.encode(), value=raw, partition=0)
                sent.add_errback(failures.append)
            producer.flush()  # ends after DELIVERY_MS at the latest
            if failures:
                raise DeliveryError(f"Kafka did not take {len(failures):,} records of the model: {failures[0]}")


def _consumer(settings: KafkaSettings) -> Any:  # noqa: ANN401 - kafka-python has no types
    return connected(
        KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=WHOLE_FETCHES,
        max_partition_fetch_bytes=FETCH_BYTES,
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        allow_auto_create_topics=False,
    )

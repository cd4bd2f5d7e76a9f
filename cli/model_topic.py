"""The topic `models` as it lies in Kafka: read to its end without a group, and written in order."""

from collections.abc import Iterable, Iterator

from kafka import KafkaProducer

from cli.kafka_clients import connected
from cli.model_contents import Contents
from cli.topic_records import records_of
from domain.errors import DeliveryError
from domain.settings import KafkaSettings
from domain.topics import MODELS
from freshet.producer import IN_ORDER

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
    for record in records_of(settings, MODELS):
        yield (record.key or b"").decode(errors="replace"), record.value, record.timestamp


def send_records(settings: KafkaSettings, *stages: Iterable[tuple[str, bytes | None]]) -> None:
    """Writes records in order, each stage once Kafka has confirmed the one before; None deletes a key.

    What is small in a stage goes in one batch, which Kafka takes whole or not at all.

    Raises:
        BrokerUnavailable: no broker answered.
        DeliveryError: Kafka did not take a record; nothing of the stages after it has been sent.
    """
    timeouts = {"delivery_timeout_ms": DELIVERY_MS, "request_timeout_ms": 20_000, "max_block_ms": 10_000}
    with connected(KafkaProducer, settings, **IN_ORDER, **timeouts, linger_ms=1_000) as producer:
        for stage in stages:
            failures: list[BaseException] = []
            for key, raw in stage:
                sent = producer.send(settings.topic(MODELS), key=key.encode(), value=raw, partition=0)
                sent.add_errback(failures.append)
            producer.flush()  # ends after DELIVERY_MS at the latest
            if failures:
                raise DeliveryError(f"Kafka did not take {len(failures):,} records of the model: {failures[0]}")

"""The consumers that a replica reads the compacted topics with, and which partitions these have.

aiokafka makes a `LogRecord` of each record instead of its own, here as in the workers, in two thirds of the time.
Written against aiokafka 0.14.0 (pinned); tests/integration/test_log_reader.py holds it on a real broker.
"""

from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.consumer.fetcher import PartitionRecords

from domain.errors import TopicError
from domain.log_reader import as_log_record, reader_options
from domain.settings import KafkaSettings
from serving.read_model import FOLLOWED

PartitionRecords._consumer_record = as_log_record  # noqa: SLF001
PartitionRecords.__iter__ = lambda of: of._records_iterator  # noqa: SLF001 - else each record is asked for by a call


def new_consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    """Returns a consumer that belongs to no group and commits nothing."""
    return AIOKafkaConsumer(**reader_options(settings))


async def assign_all(consumer: AIOKafkaConsumer, settings: KafkaSettings) -> list[TopicPartition]:
    """Assigns every partition of the followed topics to a consumer and returns them.

    Raises:
        TopicError: a topic does not exist.
    """
    found = await partitions_of(settings, FOLLOWED)
    consumer.assign(found)
    return found


async def partitions_of(settings: KafkaSettings, names: Sequence[str]) -> list[TopicPartition]:
    """Returns the partitions of topics, which are named as the design names them.

    Raises:
        TopicError: one does not exist.
    """
    found: list[TopicPartition] = []
    for told in await _described([settings.topic(name) for name in names], settings):
        if told["error_code"] or not told["partitions"]:
            generation = f" (FRESHET_GENERATION={settings.generation})" if settings.generation else ""
            raise TopicError(f"topic {told['topic']} does not exist{generation}; run: freshet topics create")
        found += sorted(TopicPartition(told["topic"], one["partition"]) for one in told["partitions"])
    return found


async def _described(topics: list[str], settings: KafkaSettings) -> list[dict[str, Any]]:
    admin = AIOKafkaAdminClient(**settings.kafka_options())
    try:
        await admin.start()
        described: list[dict[str, Any]] = await admin.describe_topics(topics)
        return described
    finally:
        await admin.close()

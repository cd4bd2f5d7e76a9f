"""State before events: the derived topics of a partition are read to their end before it gets new records.

A broker that goes away meanwhile is waited for, as the outbox does: applying a record twice changes nothing.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from time import perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from domain.codecs import unpack
from domain.errors import EventError
from domain.log_reader import Record, read_to_end
from domain.settings import KafkaSettings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES
from embeddings.item_embedding import ItemEmbedding
from stream.outbox import may_pass
from stream.partition_state import PartitionState

log = logging.getLogger(__name__)


async def restore_partition(settings: KafkaSettings, partition: int) -> PartitionState:
    """Reads the profiles and the signals that the partition's owners have written so far."""
    state = PartitionState()
    restorers = {
        settings.topic(USER_PROFILES): state.restore_profile,
        settings.topic(ITEM_SIGNALS): state.restore_signals,
    }

    def apply(records: Sequence[Record]) -> None:
        for record in records:
            if record.key is None:
                continue
            try:
                restorers[record.topic](record.key.decode(), record.value)
            except (EventError, UnicodeDecodeError):
                log.exception("%s/%d@%d is not ours", record.topic, record.partition, record.offset)

    await _read(settings, [TopicPartition(topic, partition) for topic in restorers], apply)
    return state


async def restore_text_hashes(settings: KafkaSettings, partition: int) -> dict[str, bytes]:
    """Reads which text of each item of the partition has been embedded, and by which model."""
    hashes: dict[str, bytes] = {}

    def apply(records: Sequence[Record]) -> None:
        for record in records:
            if record.key is not None and record.value is not None:
                hashes[record.key.decode()] = unpack(record.value, ItemEmbedding).text_hash
            elif record.key is not None:
                hashes.pop(record.key.decode(), None)

    await _read(settings, [TopicPartition(settings.topic(ITEM_EMBEDDINGS), partition)], apply)
    return hashes


async def _read(
    settings: KafkaSettings, partitions: Sequence[TopicPartition], apply: Callable[[Sequence[Record]], None]
) -> None:
    started = perf_counter()
    pause_s = 0.1
    while not await _was_read(settings, partitions, apply):
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, 5.0)
    names = ", ".join(f"{one.topic}/{one.partition}" for one in partitions)
    log.info("restored %s in %.2f s", names, perf_counter() - started)


async def _was_read(
    settings: KafkaSettings, partitions: Sequence[TopicPartition], apply: Callable[[Sequence[Record]], None]
) -> bool:
    """Whether all was read; if not, the broker is away."""
    consumer = AIOKafkaConsumer(
        **settings.kafka_options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        max_partition_fetch_bytes=8_388_608,
    )
    try:
        await consumer.start()
        consumer.assign(list(partitions))
        await read_to_end(consumer, partitions, apply)
    except KafkaError as error:
        if not may_pass(error):
            raise
        log.warning("cannot restore yet: %s", error)
        return False
    finally:
        await consumer.stop()
    return True

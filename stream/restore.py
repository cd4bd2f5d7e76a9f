"""State before events: the derived topics of a partition are read to their end before it gets new records."""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition

from domain.codecs import unpack
from domain.errors import EventError
from domain.log_reader import Record, read_to_end
from domain.settings import KafkaSettings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES
from embeddings.item_embedding import ItemEmbedding
from stream.partition_state import PartitionState

log = logging.getLogger(__name__)

Restorer = Callable[[str, bytes | None], None]


async def restore_partition(settings: KafkaSettings, partition: int, signals: bool = True) -> PartitionState:
    """Reads the profiles and, if asked, the signals that the partition's owners have written so far."""
    state = PartitionState()
    restorers: dict[str, Restorer] = {settings.topic(USER_PROFILES): state.restore_profile}
    if signals:
        restorers[settings.topic(ITEM_SIGNALS)] = state.restore_signals

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
    return await _restore_embeddings(settings, partition, lambda raw: unpack(raw, ItemEmbedding).text_hash)


async def restore_embeddings(settings: KafkaSettings, partition: int) -> dict[str, bytes]:
    """Reads the embeddings of the partition's items as they lie in the topic."""
    return await _restore_embeddings(settings, partition, lambda raw: raw)


async def _restore_embeddings(
    settings: KafkaSettings, partition: int, kept: Callable[[bytes], bytes]
) -> dict[str, bytes]:
    found: dict[str, bytes] = {}

    def apply(records: Sequence[Record]) -> None:
        for record in records:
            if record.key is not None and record.value is not None:
                found[record.key.decode()] = kept(record.value)
            elif record.key is not None:
                found.pop(record.key.decode(), None)

    await _read(settings, [TopicPartition(settings.topic(ITEM_EMBEDDINGS), partition)], apply)
    return found


async def _read(
    settings: KafkaSettings, partitions: Sequence[TopicPartition], apply: Callable[[Sequence[Record]], None]
) -> None:
    started = perf_counter()
    consumer = AIOKafkaConsumer(
        **settings.kafka_options(),
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        max_partition_fetch_bytes=8_388_608,
    )
    await consumer.start()
    try:
        consumer.assign(list(partitions))
        await read_to_end(consumer, partitions, apply)
    finally:
        await consumer.stop()
    names = ", ".join(f"{one.topic}/{one.partition}" for one in partitions)
    log.info("restored %s in %.2f s", names, perf_counter() - started)

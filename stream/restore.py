"""State before events: the derived topics of a partition are read to their end before it gets new records."""

import logging
from collections.abc import Callable, Mapping, Sequence
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
"""Takes a key and a value that were written for it; None for deleted."""

Step = Callable[[], None]
"""Is called for each fetch: reading much takes long, and is no standing still."""


async def restore_partition(settings: KafkaSettings, partition: int, step: Step) -> PartitionState:
    """Reads the profiles and the signals that the partition's owners have written so far."""
    state = PartitionState()
    restorers = {
        settings.topic(USER_PROFILES): state.restore_profile,
        settings.topic(ITEM_SIGNALS): state.restore_signals,
    }

    await _read(settings, [TopicPartition(topic, partition) for topic in restorers], _applier(restorers, step))
    return state


async def restore_text_hashes(settings: KafkaSettings, partition: int, step: Step) -> dict[str, bytes]:
    """Reads which text of each item of the partition has been embedded, and by which model."""
    topic = settings.topic(ITEM_EMBEDDINGS)
    hashes: dict[str, bytes] = {}

    def restore(item_id: str, raw: bytes | None) -> None:
        if raw is None:
            hashes.pop(item_id, None)
        else:
            hashes[item_id] = unpack(raw, ItemEmbedding).text_hash

    await _read(settings, [TopicPartition(topic, partition)], _applier({topic: restore}, step))
    return hashes


def _applier(restorers: Mapping[str, Restorer], step: Step) -> Callable[[Sequence[Record]], None]:
    """Gives each record to its topic's restorer; one that is not ours is passed over, or no worker could start."""

    def apply(records: Sequence[Record]) -> None:
        step()
        for record in records:
            if record.key is None:
                continue
            try:
                restorers[record.topic](record.key.decode(), record.value)
            except (EventError, UnicodeDecodeError):
                log.exception("%s/%d@%d is not ours", record.topic, record.partition, record.offset)

    return apply


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

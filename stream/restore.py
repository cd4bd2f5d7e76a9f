"""State before events: the derived topics of a partition are read to their end before it gets new records.

A broker that goes away meanwhile is waited for, as the outbox does: applying a record twice changes nothing.
Then it is made sure that this state and the log that goes on belong together.
"""

import logging
from collections.abc import Callable, Sequence
from time import perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition

from domain.codecs import unpack
from domain.errors import EventError
from domain.log_reader import Record, read_to_end
from domain.settings import StreamSettings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, STREAM_GROUP, USER_PROFILES
from embeddings.item_embedding import ItemEmbedding
from stream.lineage import check_behaviour, check_embeddings
from stream.partition_state import PartitionState
from stream.patience import patiently

log = logging.getLogger(__name__)


async def restore_partition(settings: StreamSettings, partition: int) -> PartitionState:
    """Reads the profiles and the signals that the partition's owners have written so far.

    Raises:
        TopicError: they belong to a log that is gone, or are gone themselves.
    """
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

    async def work(consumer: AIOKafkaConsumer) -> None:
        await _read(consumer, [TopicPartition(topic, partition) for topic in restorers], apply)
        await check_behaviour(consumer, settings, partition, state)

    await patiently(settings, work, settings.topic(STREAM_GROUP))
    return state


async def restore_text_hashes(settings: StreamSettings, partition: int) -> dict[str, bytes]:
    """Reads which text of each item of the partition has been embedded, and by which model.

    Raises:
        TopicError: the embeddings are gone.
    """
    hashes: dict[str, bytes] = {}

    def apply(records: Sequence[Record]) -> None:
        for record in records:
            if record.key is not None and record.value is not None:
                hashes[record.key.decode()] = unpack(record.value, ItemEmbedding).text_hash
            elif record.key is not None:
                hashes.pop(record.key.decode(), None)

    async def work(consumer: AIOKafkaConsumer) -> None:
        await _read(consumer, [TopicPartition(settings.topic(ITEM_EMBEDDINGS), partition)], apply)
        if not hashes:
            await check_embeddings(consumer, settings, partition)

    await patiently(settings, work, settings.topic(STREAM_GROUP))
    return hashes


async def _read(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], apply: Callable[[Sequence[Record]], None]
) -> None:
    started = perf_counter()
    consumer.assign(list(partitions))
    await read_to_end(consumer, partitions, apply)
    names = ", ".join(f"{one.topic}/{one.partition}" for one in partitions)
    log.info("restored %s in %.2f s", names, perf_counter() - started)

"""Whether what was derived belongs to the log that a worker is about to go on with.

A topic that was deleted and created again has its old name and new offsets. State of the lost log would take new
events for redelivered ones; state that was lost with its topic would be missed by nobody, because the group has
read past the events. Both are found here, before an event is applied.
"""

import asyncio
from collections.abc import AsyncIterator

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from domain.errors import TopicError
from domain.log_reader import Record
from domain.settings import StreamSettings
from domain.topics import INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, STREAM_GROUP, USER_PROFILES, USERS
from stream.backlog import committed
from stream.item_embedder import read_items
from stream.partition_state import PartitionState
from stream.profile_updates import Rules, apply_interactions
from stream.topic_admin import administrator

REMEDY = (
    "Stop the workers; delete the topics user-profiles, item-signals and item-embeddings and the consumer group"
    " freshet-stream; run: freshet topics create; start the workers, which read everything from the beginning; then"
    " restart the replicas. docs/operations.md has it under `A topic was deleted`"
)
ANSWER_MS = 1_000


async def check_behaviour(
    consumer: AIOKafkaConsumer, settings: StreamSettings, partition: int, state: PartitionState
) -> None:
    """Returns if profiles and signals belong to the partition's log.

    Raises:
        TopicError: a topic was deleted; the message says which and what to run.
    """
    source = TopicPartition(settings.topic(INTERACTIONS), partition)
    changes = TopicPartition(settings.topic(USERS), partition)
    consumer.assign([source, changes])
    if state.newest is not None and not await _holds(consumer, source, *state.newest):
        raise _lost(source.topic, f"offset {state.newest[0]} of partition {partition} is another event")
    # Compaction may have taken the change itself, but not the end of its log.
    if state.changed_to >= await _end(consumer, changes) and await _first(consumer, changes, state.changed_to) is None:
        raise _lost(changes.topic, f"partition {partition} ends before offset {state.changed_to}")
    # A generation may have been made from a part of the log, and rightly lack what the rest gave rise to.
    if not settings.generation and not (state.profiles and state.signals):
        await _check_complete(consumer, settings, source, state)


async def check_embeddings(consumer: AIOKafkaConsumer, settings: StreamSettings, partition: int) -> None:
    """Called where a partition has no embeddings: returns if it has none to have.

    Raises:
        TopicError: there are items which the group has read past, so that they were embedded once.
    """
    if settings.generation:
        return
    source = TopicPartition(settings.topic(ITEMS), partition)
    consumer.assign([source])
    records = [record async for record in _read_so_far(consumer, settings, source)]
    if read_items(records).changed:
        raise _lost(settings.topic(ITEM_EMBEDDINGS), f"nothing is left in partition {partition}")


async def _check_complete(
    consumer: AIOKafkaConsumer, settings: StreamSettings, source: TopicPartition, state: PartitionState
) -> None:
    """Reads the log until it has given rise to a profile and a signal, mostly with its first record."""
    again = PartitionState()
    rules = Rules(settings.all_interaction_types(), settings.profile_size)
    async for record in _read_so_far(consumer, settings, source):
        apply_interactions(again, [record], rules)
        lost = USER_PROFILES if not state.profiles else ITEM_SIGNALS if again.signals and not state.signals else None
        if lost and again.profiles:
            raise _lost(settings.topic(lost), f"nothing is left in partition {source.partition}")
        if again.profiles and again.signals:
            return


async def _read_so_far(
    consumer: AIOKafkaConsumer, settings: StreamSettings, source: TopicPartition
) -> AsyncIterator[Record]:
    """Yields what the group has read of a partition."""
    # Not asked of the consumer: one of the group would run aiokafka's coordination, which breaks off where the
    # assignment is changed by hand as here, and leaves who waits for a committed offset waiting.
    read = await asyncio.to_thread(_read_by_group, settings)
    until = min(read.get(source, 0), await _end(consumer, source))
    consumer.seek(source, (await consumer.beginning_offsets([source]))[source])
    while await consumer.position(source) < until:
        for record in (await consumer.getmany(timeout_ms=200)).get(source, ()):
            if record.offset < until:
                yield record


def _read_by_group(settings: StreamSettings) -> dict[TopicPartition, int]:
    with administrator(settings) as admin:
        return committed(admin, settings.topic(STREAM_GROUP))


async def _holds(consumer: AIOKafkaConsumer, source: TopicPartition, offset: int, event_id: str) -> bool:
    """Whether an event still lies where a profile says; true where it was deleted by its age."""
    if offset < (await consumer.beginning_offsets([source]))[source]:
        return True
    record = await _first(consumer, source, offset)
    return record is not None and record.offset == offset and _event_id(record) == event_id


async def _first(consumer: AIOKafkaConsumer, source: TopicPartition, offset: int) -> Record | None:
    """Returns the first record at or after an offset, None if there is none; a slow broker is waited for."""
    may_be_none = await _end(consumer, source) <= offset
    consumer.seek(source, offset)
    while not (records := (await consumer.getmany(source, timeout_ms=ANSWER_MS, max_records=1)).get(source, ())):
        if may_be_none:
            return None
    first: Record = records[0]
    return first if first.offset >= offset else None  # past the end, the consumer goes on from the beginning


async def _end(consumer: AIOKafkaConsumer, source: TopicPartition) -> int:
    """Returns the end that the broker gives; the embedded one gives its last batch's first record plus one."""
    end: int = (await consumer.end_offsets([source]))[source]
    return end


def _event_id(record: Record) -> str | None:
    try:
        return str(msgspec.json.decode(record.value or b"null")["event_id"])
    except (msgspec.DecodeError, KeyError, TypeError):
        return None


def _lost(topic: str, seen: str) -> TopicError:
    return TopicError(f"{topic} was deleted, and perhaps created again: {seen}. {REMEDY}")

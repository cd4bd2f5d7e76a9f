"""State before events: the derived topics of a partition are read to their end before it gets new records.

A broker that goes away meanwhile is waited for, as the outbox does: applying a record twice changes nothing.
Then it is made sure that this state and the log that goes on belong together.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from time import perf_counter

from aiokafka import AIOKafkaConsumer, TopicPartition

from domain.codecs import unpack
from domain.errors import EventError, OtherVersion, TopicError
from domain.log_reader import Record, read_to_end
from domain.settings import KafkaSettings, StreamSettings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES
from embeddings.item_embedding import ItemEmbedding
from learning.signals_record import pack_share
from stream.lineage import check_behaviour, check_embeddings
from stream.outbox import Effects, Outbox, Write
from stream.partition_state import PartitionState
from stream.patience import patiently

log = logging.getLogger(__name__)

Restorer = Callable[[str, bytes | None], bool]
"""Takes a key and a value that were written for it, None for deleted; says whether it did, or held a newer one."""

Step = Callable[[], None]
"""Is called for each piece of a log: reading much takes long, and is no standing still."""

Overwritten = set[tuple[str, str]]
"""Topics and keys whose last value is older than one before it."""


async def restore_partition(settings: StreamSettings, partition: int, outbox: Outbox, step: Step) -> PartitionState:
    """Reads the profiles and the signals that the partition's owners have written so far.

    Where a value is followed by an older one, which only a zombie can have written, it is written again: Kafka
    keeps the last value of a key when it compacts.

    Raises:
        TopicError: they belong to a log that is gone, or are gone themselves; or another version of Freshet wrote them.
    """
    state = PartitionState()
    overwritten: Overwritten = set()
    restorers: dict[str, Restorer] = {
        settings.topic(USER_PROFILES): state.restore_profile,
        settings.topic(ITEM_SIGNALS): state.restore_signals,
    }
    places = [TopicPartition(topic, partition) for topic in restorers]

    async def work(consumer: AIOKafkaConsumer) -> None:
        await _read(consumer, places, _applier(restorers, overwritten, step))
        await check_behaviour(consumer, settings, partition, state)

    await patiently(settings, work)
    if overwritten:
        log.warning("partition %d: older values lie above newer ones of %d keys", partition, len(overwritten))
        await outbox.put(Effects([_held(settings, state, partition, *one) for one in sorted(overwritten)]))
    return state


def _held(settings: KafkaSettings, state: PartitionState, partition: int, topic: str, key: str) -> Write:
    is_profile = topic == settings.topic(USER_PROFILES)
    return Write(topic, key.encode(), state.profiles[key] if is_profile else pack_share(state.signals[key]), partition)


async def read_profiles(settings: KafkaSettings, partition: int) -> PartitionState:
    """Reads the profiles of a partition alone, of whichever generation; mends nothing."""
    state = PartitionState()
    topic = settings.topic(USER_PROFILES)

    async def work(consumer: AIOKafkaConsumer) -> None:
        apply = _applier({topic: state.restore_profile}, set(), _no_step)
        await _read(consumer, [TopicPartition(topic, partition)], apply)

    await patiently(settings, work)
    return state


async def restore_text_hashes(settings: StreamSettings, partition: int, step: Step) -> dict[str, bytes]:
    """Reads which text of each item of the partition has been embedded, and by which model.

    Raises:
        TopicError: the embeddings are gone.
    """
    found: dict[str, bytes] = {}

    async def work(consumer: AIOKafkaConsumer) -> None:
        await _embeddings(consumer, settings, partition, step, found, lambda raw: unpack(raw, ItemEmbedding).text_hash)
        if not found:
            await check_embeddings(consumer, settings, partition)

    await patiently(settings, work)
    return found


async def read_embeddings(settings: KafkaSettings, partition: int) -> dict[str, bytes]:
    """Reads the embeddings of the partition's items as they lie in the topic."""
    found: dict[str, bytes] = {}

    async def work(consumer: AIOKafkaConsumer) -> None:
        await _embeddings(consumer, settings, partition, _no_step, found, _checked)

    await patiently(settings, work)
    return found


async def _embeddings(  # noqa: PLR0913, PLR0917  (where from, what of it, where to)
    consumer: AIOKafkaConsumer,
    settings: KafkaSettings,
    partition: int,
    step: Step,
    found: dict[str, bytes],
    kept: Callable[[bytes], bytes],
) -> None:
    topic = settings.topic(ITEM_EMBEDDINGS)

    def restore(item_id: str, raw: bytes | None) -> bool:
        if raw is None:
            found.pop(item_id, None)
        else:
            found[item_id] = kept(raw)
        return True

    await _read(consumer, [TopicPartition(topic, partition)], _applier({topic: restore}, set(), step))


def _checked(raw: bytes) -> bytes:
    unpack(raw, ItemEmbedding)  # raises for what is not ours
    return raw


def _no_step() -> None:
    """Nobody watches."""


def _applier(
    restorers: Mapping[str, Restorer], overwritten: Overwritten, step: Step
) -> Callable[[Sequence[Record]], None]:
    """Gives each record to its topic's restorer; one that is not ours is passed over, or no worker could start."""

    def apply(records: Sequence[Record]) -> None:
        step()
        for record in records:
            if record.key is None:
                continue
            try:
                key = record.key.decode()
                note = overwritten.discard if restorers[record.topic](key, record.value) else overwritten.add
                note((record.topic, key))
            except OtherVersion as error:  # to go on without it would be to forget it
                raise TopicError(f"{record.topic}/{record.partition}@{record.offset}: {error}") from None
            except (EventError, UnicodeDecodeError):
                log.exception("%s/%d@%d is not ours", record.topic, record.partition, record.offset)

    return apply


async def _read(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], apply: Callable[[Sequence[Record]], None]
) -> None:
    started = perf_counter()
    consumer.assign(list(partitions))
    await read_to_end(consumer, partitions, apply)
    names = ", ".join(f"{one.topic}/{one.partition}" for one in partitions)
    log.info("restored %s in %.2f s", names, perf_counter() - started)

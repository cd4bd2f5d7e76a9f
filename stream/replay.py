"""Rebuilds the derived topics of a generation from the log, with the very functions of the worker. No Faust.

A replay writes derived values only. What else a batch gave rise to when it was live (dead letters, events sent
again under a login) lies in the log already. Values are written as a worker does, signals before profiles, and
carry the offsets they reflect, so a replay that was killed goes on from what is durable, as a worker would.
"""

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from domain.codecs import pack, unpack
from domain.settings import StreamSettings
from domain.topics import DEAD_LETTERS, DERIVED, INTERACTIONS, ITEM_EMBEDDINGS, ITEMS, USER_PROFILES, USERS
from embeddings.encoder import TextEncoder
from embeddings.item_embedding import ItemEmbedding, text_hash
from stream.agents import Agents
from stream.item_embedder import read_items
from stream.log_spans import Span, SpanReader, in_order_of_arrival
from stream.membership import Membership
from stream.outbox import Effects, Outbox, Write
from stream.owned_partitions import OwnedPartitions
from stream.partition_state import PartitionState
from stream.restore import read_embeddings, read_profiles, restore_partition, restore_text_hashes
from stream.user_changes import keep_forgotten

SOURCES = (INTERACTIONS, USERS, ITEMS)

SAVE_EVERY = 50_000
"""Records between two notes of how far a replay is: seconds of work, which a killed one does again."""

Place = tuple[str, int]
"""One of SOURCES and a partition of it."""

Save = Callable[[Mapping[Place, int]], None]
"""Notes the next offset to be replayed of some places, when all before is durable."""


@dataclass(frozen=True)
class Task:
    """What to replay.

    Attributes:
        live: settings of the generation that is in use.
        into: the same settings with the generation to be built; its topics exist.
        spans: which records, of each partition of SOURCES.
        whole: whether they go as far as the live state does.
        encode: whether to encode every text, rather than take over the live vectors of unchanged ones.
    """

    live: StreamSettings
    into: StreamSettings
    spans: Mapping[Place, Span]
    whole: bool = True
    encode: bool = False


@dataclass
class Replayed:
    """What became of it: `refused` records by reason, `taken_over` vectors."""

    refused: Counter[str] = field(default_factory=Counter)
    taken_over: int = 0


class _DerivedOnly(Outbox):
    """Lets what goes to the derived topics through, and counts the dead letters that it does not write again."""

    def __init__(self, settings: StreamSettings, told: Replayed) -> None:
        alone = Membership(math.inf)  # in no group, so nobody takes its partitions away
        alone.renew(0.0)
        super().__init__(settings.kafka_options(), alone)
        self._derived = {settings.topic(name) for name in DERIVED}
        self._dead_letters = settings.topic(DEAD_LETTERS)
        self._told = told

    async def put(self, effects: Effects) -> None:
        """Queues what is derived among the effects of one batch."""
        for one in effects.first:
            if one.topic == self._dead_letters:
                self._told.refused[dict(one.headers)["reason"].decode()] += 1
        await super().put(Effects([one for one in effects.first if one.topic in self._derived], effects.then))


async def replay(task: Task, encoder: TextEncoder, save: Save, advanced: Callable[[int], object]) -> Replayed:
    """Replays the task's spans, partition by partition.

    Args:
        task: what to replay.
        encoder: encodes texts whose live vector cannot be taken over.
        save: is told how far it is, when all before that is durable.
        advanced: is told how many records more have been dealt with.

    Raises:
        BrokerUnavailable: Kafka stopped giving what it has.
        TooManyDeadLetters: most of the log cannot be used with these settings.
    """
    logging.getLogger("stream.agents").setLevel(logging.ERROR)  # what is refused now was reported when it was live
    told = Replayed()
    outbox = _DerivedOnly(task.into, told)
    await outbox.start()
    try:
        async with SpanReader(task.into) as reader:
            run = _Run(task, encoder, outbox, reader, told, save, advanced)
            for partition in range(task.into.partitions):
                await run.partition(partition)
    finally:
        await outbox.stop()
    return told


class _Run:
    """One replay under way."""

    def __init__(  # noqa: PLR0913  (what one replay works with)
        self,
        task: Task,
        encoder: TextEncoder,
        outbox: Outbox,
        reader: SpanReader,
        told: Replayed,
        save: Save,
        advanced: Callable[[int], object],
    ) -> None:
        self._task, self._encoder, self._outbox, self._reader = task, encoder, outbox, reader
        self._told, self._save, self._advanced = told, save, advanced
        self._users = OwnedPartitions(lambda one: restore_partition(task.into, one, outbox, lambda: None))
        self._items = OwnedPartitions(lambda one: restore_text_hashes(task.into, one, lambda: None))
        self._agents = Agents(task.into, outbox, encoder, self._users, self._items)
        self._reached: dict[Place, int] = {}
        self._unsaved = 0

    async def partition(self, partition: int) -> None:
        """Replays one partition of each source; its state is given up afterwards."""
        await self._profiles(partition)
        # Even if nothing is left to replay: an earlier run may have been killed just before this.
        await self._forget(partition, await self._users.get(partition))
        if self._span(ITEMS, partition).count:
            await self._embeddings(partition)
        for name in SOURCES:
            self._reached[name, partition] = self._span(name, partition).stop
        await self._note()
        self._users.drop({partition})
        self._items.drop({partition})

    async def _profiles(self, partition: int) -> None:
        settings = self._task.into
        users = settings.topic(USERS)
        # In memory: one record a user who was ever erased, merged or opted out.
        changes = [
            one async for batch in self._reader.read(users, partition, self._span(USERS, partition)) for one in batch
        ]
        interactions = self._reader.read(settings.topic(INTERACTIONS), partition, self._span(INTERACTIONS, partition))
        async for records in in_order_of_arrival(interactions, changes):
            name, handle = INTERACTIONS, self._agents.interactions
            if records[0].topic == users:
                name, handle = USERS, self._agents.user_changes
            await handle(partition, records)
            await self._went(name, partition, records[-1].offset + 1, len(records))

    async def _forget(self, partition: int, state: PartitionState) -> None:
        """Makes sure that what users have had forgotten is forgotten here as well."""
        live = await read_profiles(self._task.live, partition)
        changed: dict[str, bytes] = {}
        for user_id in live.profiles if self._task.whole else live.profiles.keys() & state.profiles.keys():
            profile = state.profile(user_id)
            kept = keep_forgotten(profile, live.profile(user_id), self._task.whole)
            if kept != profile:
                changed[user_id] = pack(kept)
        topic = self._task.into.topic(USER_PROFILES)
        await self._outbox.put(
            Effects([], [Write(topic, one.encode(), raw, partition) for one, raw in changed.items()])
        )

    async def _embeddings(self, partition: int) -> None:
        live = {} if self._task.encode else await read_embeddings(self._task.live, partition)
        known = await self._items.get(partition)
        topic = self._task.into.topic(ITEM_EMBEDDINGS)
        async for records in self._reader.read(self._task.into.topic(ITEMS), partition, self._span(ITEMS, partition)):
            copies: list[Write] = []
            for item_id, item in read_items(records).changed.items():
                wanted = text_hash(self._encoder.version, item.text())
                if item_id in live and wanted == unpack(live[item_id], ItemEmbedding).text_hash != known.get(item_id):
                    copies.append(Write(topic, item_id.encode(), live[item_id], partition))
                    known[item_id] = wanted
            self._told.taken_over += len(copies)
            await self._outbox.put(Effects(copies))
            await self._agents.items(partition, records)
            await self._went(ITEMS, partition, records[-1].offset + 1, len(records))

    async def _went(self, name: str, partition: int, reached: int, count: int) -> None:
        self._reached[name, partition] = reached
        self._unsaved += count
        self._advanced(count)
        if self._unsaved >= SAVE_EVERY:
            await self._note()

    async def _note(self) -> None:
        await self._outbox.flush()
        self._save(self._reached)
        self._reached, self._unsaved = {}, 0

    def _span(self, name: str, partition: int) -> Span:
        return self._task.spans.get((name, partition), Span(0, 0))

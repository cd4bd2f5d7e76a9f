"""The agents: for each batch of a topic, decode, call, write. They never raise into Faust.

An exception inside a Faust agent acknowledges what it was working on. So whatever goes wrong in a batch
that is not one record's fault ends the process (`leave`), and the batch is read again.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from time import perf_counter
from typing import Any

import msgspec

from domain.clock import system_clock
from domain.interactions import Interaction
from domain.items import Item
from domain.log_reader import Headers, Record
from domain.settings import StreamSettings
from domain.topics import DEAD_LETTERS, INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES
from embeddings.encoder import TextEncoder
from embeddings.item_embedding import text_hash
from learning.signals_record import pack_share
from stream import metrics
from stream.batch_spans import NO_SPANS, BatchSpans
from stream.dead_letters import DeadLetterGuard, Refused, TooManyDeadLetters, dead_letter
from stream.item_embedder import embed, needs_embedding, read_items
from stream.outbox import Effects, Outbox, Write, leave
from stream.owned_partitions import OwnedPartitions
from stream.partition_state import PartitionState
from stream.profile_updates import Rules, apply_interactions, sent_on
from stream.user_changes import apply_user_changes
from tracing import Tracer

log = logging.getLogger(__name__)

Handler = Callable[[int, Sequence[Record]], Coroutine[Any, Any, None]]
Done = Callable[[Sequence[Record]], None]


class Agents:
    """The bodies of the three agents, with what they share."""

    def __init__(
        self,
        settings: StreamSettings,
        outbox: Outbox,
        encoder: TextEncoder,
        users: OwnedPartitions[PartitionState],
        items: OwnedPartitions[dict[str, bytes]],
        tracer: Tracer | None = None,
    ) -> None:
        self._settings = settings
        self._outbox = outbox
        self._encoder = encoder
        self._users = users
        self._items = items
        self._tracer = tracer
        self._rules = Rules(settings.all_interaction_types(), settings.profile_size)
        self._guard = DeadLetterGuard(settings.dead_letter_max_share, settings.dead_letter_max_in_a_row)

    async def interactions(self, partition: int, records: Sequence[Record]) -> None:
        """Updates profiles and signals."""
        spans = BatchSpans(self._tracer, records)
        state = await self._users.get(partition)
        if records[0].offset <= state.read_to:  # the log begins anew: restoring looks whether it is another one
            self._users.drop({partition})
            state = await self._users.get(partition)
        started = perf_counter()
        metrics.waited.observe(max(0, system_clock() - records[0].timestamp) / 1000)
        outcome = apply_interactions(state, records, self._rules)
        metrics.updated.observe(perf_counter() - started)
        state.read_to = records[-1].offset
        signals = self._settings.topic(ITEM_SIGNALS)
        forwarded = [self._sent_again(record.headers, _key(record), one) for record, one in outcome.forwarded]
        shares = [Write(signals, item.encode(), pack_share(one), partition) for item, one in outcome.signals.items()]
        await self._put(records, outcome.refused, [*forwarded, *shares], outcome.profiles, spans)
        for (kind, became), count in outcome.counted.items():
            metrics.interactions.labels(kind, became).inc(count)

    async def user_changes(self, partition: int, records: Sequence[Record]) -> None:
        """Erases, merges, opts out and in."""
        spans = BatchSpans(self._tracer, records)
        outcome = apply_user_changes(await self._users.get(partition), records)
        moved = [self._sent_again((), guest, one) for guest, one in outcome.moved]
        await self._put(records, outcome.refused, moved, outcome.profiles, spans)

    async def items(self, partition: int, records: Sequence[Record]) -> None:
        """Embeds items whose text changed, a part of the batch at a time, so that the first are early."""
        known = await self._items.get(partition)
        batch = read_items(records)
        topic = self._settings.topic(ITEM_EMBEDDINGS)
        gone = [Write(topic, one.encode(), None, partition) for one in sorted(batch.deleted) if known.pop(one, None)]
        await self._put(records, batch.refused, gone, {}, NO_SPANS)
        spans = BatchSpans(self._tracer, records)
        spans.refuse(batch.refused)
        todo = needs_embedding(batch.changed, known, self._encoder.version)
        metrics.items_waiting.inc(len(todo))
        took = 0.0
        for at in range(0, len(todo), self._settings.embedding_batch):
            part = todo[at : at + self._settings.embedding_batch]
            encoded, seconds = await self._embedded(part)
            took += seconds
            writes = [Write(topic, i.encode(), raw, partition, spans.headers(i)) for i, raw in encoded.items()]
            await self._outbox.put(Effects(writes))
            known |= {one.item_id: text_hash(self._encoder.version, one.text()) for one in part}
        self._outbox.when_written(spans.end)
        if todo:
            log.info("embedded %d items of partition %d, %.0f a second", len(todo), partition, len(todo) / took)

    async def _embedded(self, items: Sequence[Item]) -> tuple[dict[str, bytes], float]:
        """Returns the encoded embeddings of items, and the seconds that they took."""
        started = perf_counter()
        # In a thread: torch lets go of the interpreter, so clicks are processed meanwhile.
        encoded = await asyncio.to_thread(embed, self._encoder, items)
        took = perf_counter() - started
        metrics.items_embedded.inc(len(items))
        metrics.items_waiting.dec(len(items))
        metrics.embedding_seconds.inc(took)
        return encoded, took

    async def _put(  # noqa: PLR0913, PLR0917  (what a batch came to)
        self,
        records: Sequence[Record],
        refused: Refused,
        first: Sequence[Write],
        profiles: dict[str, bytes],
        spans: BatchSpans,
    ) -> None:
        spans.refuse(refused)
        dead = [dead_letter(self._settings.topic(DEAD_LETTERS), record, error) for record, error in refused]
        topic, partition = self._settings.topic(USER_PROFILES), records[0].partition
        # Into the partition of the same number, whatever the key's hash: what the owner restores is what it wrote.
        then = [Write(topic, user.encode(), raw, partition, spans.headers(user)) for user, raw in profiles.items()]
        for record, error in refused:
            metrics.dead_letters.labels(record.topic, error.reason).inc()
            log.warning("dead letter %s/%d@%d: %s", record.topic, record.partition, record.offset, error)
        self._guard.saw(records, refused)
        metrics.profile_bytes.inc(sum(map(len, profiles.values())))
        await self._outbox.put(Effects([*dead, *first], then, perf_counter()))
        self._outbox.when_written(spans.end)

    def _sent_again(self, headers: Headers, guest: str, interaction: Interaction) -> Write:
        topic = self._settings.topic(INTERACTIONS)
        key, value = interaction.user_id.encode(), msgspec.json.encode(interaction)
        return Write(topic, key, value, headers=sent_on(headers, guest))


async def consume(name: str, stream: Any, handle: Handler, done: Done) -> None:  # noqa: ANN401
    """Runs one agent: every batch of a stream through its handler and then to `done`, until the worker stops."""
    batch_records, batch_seconds = metrics.batch_records.labels(name), metrics.batch_seconds.labels(name)
    batches: AsyncIterator[Any] = stream.events()
    async for event in batches:
        records: Sequence[Record] = event.value
        started = perf_counter()
        try:
            await handle(records[0].partition, records)
        except asyncio.CancelledError:
            raise
        except TooManyDeadLetters as error:  # its message says it all
            leave(f"the {name} agent stopped: {error}", with_traceback=False)
        except BaseException:
            leave(f"the {name} agent failed on {records[0].topic}/{records[0].partition}@{records[0].offset}")
        done(records)
        batch_records.observe(len(records))
        batch_seconds.observe(perf_counter() - started)


def _key(record: Record) -> str:
    return (record.key or b"").decode("utf-8", "replace")

"""Bytes that a worker writes to Kafka for each event, by the length of the histories, uncompressed and compressed.

The worker's own functions and Kafka's own batches, without a broker: 250 users on 2,000 items, each with a history of
that length; then 8,000 events, in batches as they come from a backlog and as they come at 1,000 events a second.
"""

import msgspec
from aiokafka.producer.message_accumulator import BatchBuilder

from bench.report import Figure
from bench.workload import interactions
from domain.interactions import INTERACTION_TYPES
from domain.log_reader import LogRecord
from learning.signals_record import pack_share
from stream.batching import MAX_BATCH
from stream.partition_state import PartitionState
from stream.profile_updates import Rules, apply_interactions

HISTORIES, BATCHES = (10, 50, 200), (MAX_BATCH, 20)
USERS, ITEMS, EVENTS = 250, 2_000, MAX_BATCH
NO_COMPRESSION, ZSTD = 0, 4
"""As Kafka numbers them."""

Written = list[tuple[bytes, bytes]]
NOW_MS = 1_795_326_060_000


def written_figures() -> list[Figure]:
    """Returns bytes an event, with zstd and beside it without, for each history and size of batches."""
    figures = []
    for history in HISTORIES:
        for size in BATCHES:
            batches = _written(history, size)
            plain, small = (sum(_on_the_wire(one, codec) for one in batches) for codec in (NO_COMPRESSION, ZSTD))
            name = f"bytes_written_per_event_history_{history}_batches_of_{size}"
            figures.append(Figure(f"{name}_zstd", small / EVENTS, "bytes", "uncompressed", plain / EVENTS))
    return figures


def _written(history: int, size: int) -> list[Written]:
    """Returns what each batch writes to a topic: signals and profiles in turn."""
    state, rules = PartitionState(), Rules(INTERACTION_TYPES, history)
    log = _log(history * USERS * 2)
    apply_interactions(state, log[:-EVENTS], rules)
    batches: list[Written] = []
    for at in range(len(log) - EVENTS, len(log), size):
        outcome = apply_interactions(state, log[at : at + size], rules)
        batches.append([(item.encode(), pack_share(one)) for item, one in outcome.signals.items()])
        batches.append([(user.encode(), raw) for user, raw in outcome.profiles.items()])
    return batches


def _log(past: int) -> list[LogRecord]:
    """A log of one partition; twice a history's length for each user, so that nearly all of them are full."""
    return [
        LogRecord("interactions", 0, at, NOW_MS, one.user_id.encode(), msgspec.json.encode(one))
        for at, one in enumerate(interactions(past + EVENTS, USERS, ITEMS, NOW_MS))
    ]


def _on_the_wire(written: Written, codec: int) -> int:
    """Returns the bytes of one Kafka batch of these keys and values."""
    if not written:
        return 0
    batch = BatchBuilder(1 << 30, codec)
    for key, value in written:
        batch.append(timestamp=None, key=key, value=value)
    return len(batch._build())  # noqa: SLF001 - what the producer would send; it has no other way to say it

"""The dead letters as they lie in Kafka, read without a consumer group: nothing is committed, nobody rebalances.

Between them lie marks: records that say how far a replay has come. They are younger than the letters they
speak of, so Kafka keeps them at least as long.
"""

import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from kafka import KafkaConsumer, TopicPartition

from cli.kafka_clients import connected
from domain.errors import BrokerUnavailable, QueryError, TopicError
from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS, MARK_HEADER, ORIGINAL_HEADER

STALL_S = 20.0
"""How long a broker may give nothing before its end is reached."""

WHOLE_FETCHES = 1_000_000
"""Records a poll may return. The embedded broker reports the first record of its last batch plus one as a
partition's end, so a fetch must come out whole or the rest of that batch is missed."""


class Mark(msgspec.Struct, frozen=True):
    """The letters of one topic and reason that lie in the mark's own partition below an offset were replayed."""

    topic: str
    reason: str
    below: int


@dataclass(frozen=True)
class Letter:
    """One dead letter. Texts are safe to print: what is not printable is escaped.

    Attributes:
        partition: where the letter lies in `dead-letters`.
        offset: where it lies in that partition.
        key: the original record's.
        value: the original record's, to the byte.
        reason: why it was refused, in a word.
        detail: why, in a sentence.
        topic: where the original record lay; the full name. Empty if no header says.
        origin: the original record's `partition@offset`.
        headers: the original record's.
        failed_at_ms: when it was refused, in epoch milliseconds.
    """

    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    reason: str
    detail: str
    topic: str
    origin: str
    headers: tuple[tuple[str, bytes], ...]
    failed_at_ms: int


def read_letters(settings: KafkaSettings, newest: int | None = None) -> Iterator[Letter]:
    """Gives the dead letters up to the ends seen at the start, in order within a partition.

    Args:
        settings: which Kafka, which topic.
        newest: leave out what lies further than this from the end of its partition.

    Raises:
        BrokerUnavailable: no broker answered, or it stopped answering.
        TopicError: the topic is missing.
    """
    yield from map(_letter, (record for record in _records(settings, newest) if _mark(record) is None))


def read_marks(settings: KafkaSettings) -> Iterator[tuple[int, Mark]]:
    """Gives each mark with its partition; raises as `read_letters`."""
    for record in _records(settings):
        mark = _mark(record)
        if mark is not None:
            yield record.partition, mark


def find_letter(settings: KafkaSettings, partition: int, offset: int) -> Letter:
    """Returns the dead letter at a place.

    Raises:
        QueryError: there is none.
        BrokerUnavailable, TopicError: as `read_letters`.
    """
    place = TopicPartition(settings.topic(DEAD_LETTERS), partition)
    with _consumer(settings) as consumer:
        starts, ends = _bounds(consumer, settings)
        if place in starts and starts[place] < ends[place]:
            start = min(max(offset, starts[place]), ends[place] - 1)  # the end may be reported too low
            for record in _read(consumer, {place: start}, {place: ends[place]}):
                if record.offset == offset and _mark(record) is None:
                    return _letter(record)
    raise QueryError(f"no dead letter at {partition}@{offset}; `freshet dead-letters list` shows where they lie")


def printable(text: str) -> str:
    """Escapes what a terminal might take for a command."""
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)


def _records(settings: KafkaSettings, newest: int | None = None) -> Iterator[Any]:
    with _consumer(settings) as consumer:
        starts, ends = _bounds(consumer, settings)
        if newest is not None:
            starts = {one: max(start, ends[one] - newest) for one, start in starts.items()}
        yield from _read(consumer, starts, ends)


def _consumer(settings: KafkaSettings) -> Any:  # noqa: ANN401 - kafka-python has no types
    return connected(
        KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        max_poll_records=WHOLE_FETCHES,
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        allow_auto_create_topics=False,
    )


def _bounds(consumer: Any, settings: KafkaSettings) -> tuple[dict[Any, int], dict[Any, int]]:  # noqa: ANN401
    topic = settings.topic(DEAD_LETTERS)
    partitions = [TopicPartition(topic, one) for one in sorted(consumer.partitions_for_topic(topic) or ())]
    if not partitions:
        raise TopicError(f"topic {topic} is missing; run: freshet topics create")
    return consumer.beginning_offsets(partitions), consumer.end_offsets(partitions)


def _read(consumer: Any, starts: Mapping[Any, int], ends: Mapping[Any, int]) -> Iterator[Any]:  # noqa: ANN401
    consumer.assign(list(starts))
    for partition, start in starts.items():
        consumer.seek(partition, start)
    deadline = time.monotonic() + STALL_S
    while any(consumer.position(one) < ends[one] for one in starts):
        for records in consumer.poll(timeout_ms=500).values():
            yield from records
            deadline = time.monotonic() + STALL_S
        if time.monotonic() > deadline:
            raise BrokerUnavailable(f"Kafka gave no dead letters for {STALL_S:g} s, though there are more; try again")


def _mark(record: Any) -> Mark | None:  # noqa: ANN401
    """What a mark says; None for a letter."""
    for name, raw in record.headers:
        if name == MARK_HEADER and raw:
            try:
                return msgspec.json.decode(raw, type=Mark)
            except (msgspec.DecodeError, UnicodeDecodeError):
                return None
    return None


def _letter(record: Any) -> Letter:  # noqa: ANN401
    headers = {name: printable(raw.decode("utf-8", "backslashreplace")) for name, raw in record.headers if raw}
    failed_at = headers.get("failed_at", "")
    return Letter(
        partition=record.partition,
        offset=record.offset,
        key=record.key,
        value=record.value,
        reason=headers.get("reason", "unknown"),
        detail=headers.get("detail", ""),
        topic=headers.get("topic", ""),
        origin=f"{headers.get('partition', '?')}@{headers.get('offset', '?')}",
        headers=tuple(
            (name.removeprefix(ORIGINAL_HEADER), raw)
            for name, raw in record.headers
            if name.startswith(ORIGINAL_HEADER)
        ),
        failed_at_ms=int(failed_at) if re.fullmatch("[0-9]{1,14}", failed_at) else record.timestamp,
    )

"""Which part of a topic's partition is meant, and reading just that."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition

from domain.errors import BrokerUnavailable
from domain.log_reader import Record, reader_options
from domain.settings import KafkaSettings

BATCH = 5_000
"""Records that are worked on together: each user and item that they touch is written once."""

STALL_S = 30.0
"""Kafka that gives nothing for so long, though there should be more, is given up."""


@dataclass(frozen=True)
class Span:
    """The records from offset `start` up to, but without, `stop`."""

    start: int
    stop: int

    @property
    def count(self) -> int:
        """How many offsets it covers; compaction may have left fewer records."""
        return max(0, self.stop - self.start)


class SpanReader:
    """Reads spans, one after the other, without a consumer group; an async context manager."""

    def __init__(self, settings: KafkaSettings) -> None:
        self._consumer = AIOKafkaConsumer(**reader_options(settings))

    async def __aenter__(self) -> "SpanReader":
        await self._consumer.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._consumer.stop()

    async def bounds(self, topic: str, partitions: int) -> dict[int, Span]:
        """Returns what there is of each partition; the embedded broker may name the end of a batch too low."""
        places = [TopicPartition(topic, one) for one in range(partitions)]
        self._consumer.assign(places)
        starts = await self._consumer.beginning_offsets(places)
        ends = await self._consumer.end_offsets(places)
        return {one.partition: Span(starts[one], ends[one]) for one in places}

    async def read(self, topic: str, partition: int, span: Span) -> AsyncIterator[list[Record]]:
        """Yields the span's records, BATCH at most at a time. End one reading before you begin another.

        Raises:
            BrokerUnavailable: Kafka gives no more, though there should be.
        """
        if not span.count:
            return
        place = TopicPartition(topic, partition)
        self._consumer.assign([place])
        self._consumer.seek(place, span.start)
        loop = asyncio.get_running_loop()
        deadline = loop.time() + STALL_S
        while await self._consumer.position(place) < span.stop:
            for records in (await self._consumer.getmany(timeout_ms=200)).values():
                for batch in _batches([one for one in records if one.offset < span.stop]):
                    yield batch
                deadline = loop.time() + STALL_S
            if loop.time() > deadline:
                raise BrokerUnavailable(f"{topic}/{partition}: Kafka gave nothing for {STALL_S:g} s before {span.stop}")

    async def first_since(self, topic: str, partition: int, span: Span, time_ms: int) -> int:
        """Returns the offset of the span's first record that reached Kafka at that time or later; else its end.

        Read, not asked for: the embedded broker cannot find offsets by time.
        """
        async for records in self.read(topic, partition, span):
            for record in records:
                if record.timestamp >= time_ms:
                    return record.offset
        return span.stop


async def in_order_of_arrival(
    records: AsyncIterator[list[Record]], others: Sequence[Record]
) -> AsyncIterator[Sequence[Record]]:
    """Merges two topics of one partition by when their records reached Kafka; each batch is of one topic.

    The next record of either is compared with the next of the other, nothing else, so a merge that begins in
    the middle goes on as the whole one would.
    """
    at = 0
    async for batch in records:
        for part in _merged(batch, others[at:]):
            at += len(part) if part[0].topic != batch[0].topic else 0
            yield part
    if others[at:]:
        yield others[at:]


def _merged(batch: Sequence[Record], others: Sequence[Record]) -> Iterator[Sequence[Record]]:
    done = used = 0
    for at, record in enumerate(batch):
        until = used
        while until < len(others) and others[until].timestamp < record.timestamp:
            until += 1
        if until > used:
            if at > done:
                yield batch[done:at]
            yield others[used:until]
            done, used = at, until
    yield batch[done:]


def _batches(records: Sequence[Record]) -> Iterator[list[Record]]:
    for at in range(0, len(records), BATCH):
        yield list(records[at : at + BATCH])

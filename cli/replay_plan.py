"""Which records a replay reads: from the log's start, or a moment, to where the live workers are, or a moment."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from domain.errors import ConfigError
from domain.records import epoch_ms
from domain.settings import StreamSettings
from domain.topics import INTERACTIONS
from stream.log_spans import Span, SpanReader
from stream.replay import SOURCES, Place

Wish = int | tuple[int, int] | None
"""A moment as it was asked for: epoch ms, a partition and an offset of `interactions`, or none."""

_PLACE = re.compile(r"(?:.*/)?(\d{1,4})@(\d{1,18})")


class Moment(NamedTuple):
    """A point of the log: when, and if a record names it, that record's partition and offset in `interactions`."""

    time_ms: int
    partition: int = -1
    offset: int = 0


@dataclass(frozen=True)
class Plan:
    """What is to be read.

    Attributes:
        spans: the records of each partition of each source.
        deleted: how many interactions retention has deleted from the log's beginning.
        oldest_ms: when the oldest interaction to be replayed reached Kafka; None if there is none.
    """

    spans: Mapping[Place, Span]
    deleted: int
    oldest_ms: int | None

    def count(self, source: str) -> int:
        """How many records of a source there are to replay, at most."""
        return sum(span.count for (name, _), span in self.spans.items() if name == source)


def read_moment(option: str, text: str | None) -> Wish:
    """Reads TIME (epoch ms or RFC 3339) or PARTITION@OFFSET.

    Raises:
        ConfigError: it is neither.
    """
    if text is None:
        return None
    if found := _PLACE.fullmatch(text):
        return int(found[1]), int(found[2])
    try:
        return epoch_ms(option, int(text) if text.isdecimal() else text)
    except ValueError as error:
        raise ConfigError(
            f"{error}, or PARTITION@OFFSET of `interactions` as logs write it (interactions/3@1200)"
        ) from None


async def make_plan(
    settings: StreamSettings,
    live: Mapping[Place, int],
    since: Wish,
    until: Wish,
) -> Plan:
    """Finds the records to be replayed.

    Args:
        settings: of the live generation.
        live: the offsets that its workers have committed; nothing beyond is replayed, because the live workers
            may yet write more into the log on its account.
        since: as `read_moment` gives it; bounds interactions only, and none bounds nothing.
        until: the same, and bounds all.

    Raises:
        ConfigError: there is nothing to replay, the moments are in the wrong order, or a place is outside the log.
        BrokerUnavailable: Kafka stopped giving what it has.
    """
    async with SpanReader(settings) as reader:
        held: dict[Place, Span] = {}
        for name in SOURCES:
            for partition, span in (await reader.bounds(settings.topic(name), settings.partitions)).items():
                # What has been committed is there, even if the broker does not say so.
                held[name, partition] = Span(span.start, max(span.stop, live.get((name, partition), 0)))
        if not live and any(span.count for span in held.values()):
            raise ConfigError(
                "no worker of the live generation has ever committed, so there is nothing to rebuild beside it;"
                " start one: freshet stream"
            )
        first, last = [await _resolved(reader, settings, held, one) for one in (since, until)]
        if first and last and first.time_ms >= last.time_ms:
            raise ConfigError(f"--from ({time_text(first.time_ms)}) is not before --to ({time_text(last.time_ms)})")
        spans: dict[Place, Span] = {}
        for place, bounds in held.items():
            whole = Span(bounds.start, max(bounds.start, live.get(place, 0)))
            stop = await _cut(reader, settings, place, whole, last) if last else whole.stop
            start = await _cut(reader, settings, place, whole, first) if first and place[0] == INTERACTIONS else 0
            spans[place] = Span(max(whole.start, min(start, stop)), stop)
        if not any(span.count for span in spans.values()):
            raise ConfigError("there is nothing to replay: nothing reached Kafka in that time, or ever")
        deleted = sum(span.start for (name, _), span in held.items() if name == INTERACTIONS)
        return Plan(spans, deleted, await _oldest(reader, settings, spans))


def time_text(time_ms: int) -> str:
    """Returns a time as people read it."""
    return datetime.fromtimestamp(time_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


async def _resolved(
    reader: SpanReader, settings: StreamSettings, held: Mapping[Place, Span], moment: Wish
) -> Moment | None:
    if moment is None or isinstance(moment, int):
        return None if moment is None else Moment(moment)
    partition, offset = moment
    there = held.get((INTERACTIONS, partition), Span(0, 0))
    if there.start <= offset:
        async for records in reader.read(
            settings.topic(INTERACTIONS), partition, Span(offset, min(offset + 1, there.stop))
        ):
            for record in records:
                return Moment(record.timestamp, partition, offset)
    older = ", older ones were deleted" if there.start else ""
    holds = f"holds offsets {there.start:,} to {there.stop - 1:,}{older}" if there.count else "holds nothing"
    raise ConfigError(f"{partition}@{offset} is outside of the log: partition {partition} of interactions {holds}")


async def _cut(reader: SpanReader, settings: StreamSettings, place: Place, span: Span, moment: Moment) -> int:
    if place == (INTERACTIONS, moment.partition):
        return min(moment.offset, span.stop)
    return await reader.first_since(settings.topic(place[0]), place[1], span, moment.time_ms)


async def _oldest(reader: SpanReader, settings: StreamSettings, spans: Mapping[Place, Span]) -> int | None:
    times = []
    for (name, partition), span in spans.items():
        if name == INTERACTIONS and span.count:
            async for records in reader.read(settings.topic(name), partition, Span(span.start, span.start + 1)):
                times += [record.timestamp for record in records]
    return min(times, default=None)

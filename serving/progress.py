"""How far a follower has read and applied, and up to which moment that was all there was."""

from collections.abc import Mapping, Sequence
from typing import Self

from aiokafka import AIOKafkaConsumer, TopicPartition

from domain.log_reader import Record
from serving.snapshot.place import Fault, Origin, Place, fault_of, too_old


class Outdated(Exception):
    """What was read cannot simply be gone on from: connect again, and look whether it can at all."""


class Progress:
    """The next offset of each partition that reading can go on in.

    Attributes:
        current_ms: at this moment nothing had been written that is not applied; see `Place`.
        is_current: the ends were reached since this began, or was gone on from.
    """

    def __init__(self, origin: Origin, partitions: Sequence[TopicPartition], now_ms: int) -> None:
        self._origin = origin
        self._offsets = {one: 0 for one in partitions if one.topic in origin.topics}
        self._asked: tuple[int, Mapping[TopicPartition, int]] | None = None
        self._doubt = ""
        self._caught_up = False
        self.is_current = False
        self.current_ms = now_ms

    @classmethod
    def of(cls, place: Place) -> Self:
        """Returns the progress that a snapshot stands at."""
        progress = cls(place.origin, (), place.current_ms)
        for topic, offsets in place.offsets.items():
            progress._offsets |= {TopicPartition(topic, one): offset for one, offset in offsets.items()}
        progress._caught_up = True
        return progress

    def place(self) -> Place | None:
        """Returns where it stands; None if it has never reached the ends."""
        return self._place() if self._caught_up else None

    def applied(self, record: Record) -> None:
        """Notes that a partition has been applied up to this record.

        Raises:
            Outdated: it was applied before, so the log is another one than it was.
        """
        where = TopicPartition(record.topic, record.partition)
        if where in self._offsets:
            self._move(where, record.offset + 1)

    async def nothing_in_hand(self, consumer: AIOKafkaConsumer) -> None:
        """Notes the consumer's positions, which holes take further than records do; raises what `applied` raises."""
        for one in self._offsets:
            self._move(one, await consumer.position(one))

    async def resume(self, consumer: AIOKafkaConsumer, origin: Origin, now_ms: int, max_age_s: float) -> Fault | None:
        """Lets a consumer go on from here, or returns why it cannot."""
        place = self._place()
        begins = await consumer.beginning_offsets([one for one in consumer.assignment() if one.topic in origin.topics])
        fault = too_old(place, now_ms, max_age_s) or fault_of(place, origin, begins)
        if fault is not None:
            return fault
        ends = await consumer.end_offsets(self._offsets)
        for one, offset in self._offsets.items():
            consumer.seek(one, offset)
            if offset > ends[one] and await _is_beyond(consumer, one, offset):
                return Fault("beyond_end", f"{one.topic}/{one.partition}@{offset}, it ends at {ends[one]}")
        self._asked, self._doubt, self.is_current = None, "", False
        return None

    def ask(self, now_ms: int, ends: Mapping[TopicPartition, int]) -> None:
        """Notes the ends of this moment, unless earlier ones are not reached yet."""
        if self._asked is None:
            self._asked = now_ms, ends

    def compare(self, origin: Origin) -> None:
        """Lets the next look end in connecting again, where all is checked, if this is another log."""
        if origin != self._origin:
            self._doubt = "its topics are not those that were read"

    def has_caught_up(self, asked_ms: int) -> None:
        """Notes that the ends of a moment are reached."""
        self._caught_up = self.is_current = True
        self.current_ms = asked_ms

    async def look(self, consumer: AIOKafkaConsumer, max_age_s: float) -> None:
        """Notes whether the ends that were asked for are reached; what was fetched must be applied.

        Raises:
            Outdated: there was a doubt; it took so long that deletions may have been missed; or as `applied`.
        """
        if self._doubt:
            raise Outdated(self._doubt)
        if self._asked is None:
            return
        await self.nothing_in_hand(consumer)
        asked_ms, ends = self._asked
        if all(offset >= ends[one] for one, offset in self._offsets.items()):
            if asked_ms - self.current_ms > max_age_s * 1000:
                raise Outdated(f"nothing could be read for {(asked_ms - self.current_ms) / 1000:,.0f} s")
            self._asked = None
            self.has_caught_up(asked_ms)

    def _place(self) -> Place:
        offsets: dict[str, dict[int, int]] = {}
        for one, offset in self._offsets.items():
            offsets.setdefault(one.topic, {})[one.partition] = offset
        return Place(self._origin, offsets, self.current_ms)

    def _move(self, where: TopicPartition, offset: int) -> None:
        if offset < self._offsets[where]:
            raise Outdated(f"{where.topic}/{where.partition} was read to {self._offsets[where]}, now to {offset}")
        self._offsets[where] = offset


async def _is_beyond(consumer: AIOKafkaConsumer, where: TopicPartition, offset: int) -> bool:
    """Whether the log does not reach an offset; the embedded broker reports ends that are too low."""
    consumer.seek(where, offset)
    await consumer.getmany(where, timeout_ms=1000)
    if await consumer.position(where) < offset:
        return True
    consumer.seek(where, offset)
    return False

"""How far a worker is behind, in records and in seconds, as its own fetches and batches tell. No Kafka in here.

Kafka is not asked: the end of a partition comes with every fetch. A record counts as waiting until all that its batch
gave rise to is durable.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from domain.clock import Clock, system_clock
from domain.log_reader import Record

Place = tuple[str, int]
"""Topic and partition."""


@dataclass
class _Partition:
    """One partition's.

    Attributes:
        end: the offset after its last record, as the last fetch told.
        done: the offset after the last record whose effects are durable.
        in_hand: arrival of the oldest record of each fetched batch, by the batch's last offset.
        late_ms: how old the last record was when its batch was done.
    """

    end: int = 0
    done: int = 0
    in_hand: dict[int, int] = field(default_factory=dict)
    late_ms: int = 0


class Lag:
    """Counts for the partitions that the worker has now. One thread tells it, others may ask."""

    def __init__(self, clock: Clock = system_clock) -> None:
        self._clock = clock
        self._partitions: dict[Place, _Partition] = {}

    def fetched(self, batch: Sequence[Record], end: int | None) -> None:
        """A batch of one partition came from Kafka; `end` is the partition's, None if Kafka did not say."""
        first, last = batch[0], batch[-1]
        one = self._partitions.setdefault((first.topic, first.partition), _Partition(done=first.offset))
        # Below `done`: read again after a rebalance. The embedded broker tells ends that are too low.
        one.done = min(one.done, first.offset)
        one.end = max(end or 0, last.offset + 1)
        one.in_hand[last.offset] = first.timestamp

    def handled(self, batch: Sequence[Record]) -> None:
        """All that a batch gave rise to is durable."""
        last = batch[-1]
        one = self._partitions.get((last.topic, last.partition))
        if one is None:  # taken away meanwhile
            return
        one.done = last.offset + 1
        one.in_hand = {offset: arrived for offset, arrived in one.in_hand.items() if offset > last.offset}
        one.late_ms = max(0, self._clock() - last.timestamp)

    def forget(self, places: Iterable[Place]) -> None:
        """Partitions are another worker's now."""
        for place in places:
            self._partitions.pop(place, None)

    def records(self, topic: str) -> int:
        """How many records of a topic wait; transaction markers and compacted records count as well."""
        return sum(max(0, one.end - one.done) for one in self._of(topic))

    def seconds(self, topic: str) -> float:
        """How long the oldest record of a topic that waits has been in Kafka; 0 if none waits."""
        return max((self._waited_ms(one) for one in self._of(topic)), default=0) / 1000

    def _of(self, topic: str) -> list[_Partition]:
        return [one for place, one in list(self._partitions.items()) if place[0] == topic]

    def _waited_ms(self, one: _Partition) -> int:
        arrivals = list(one.in_hand.values())
        if arrivals:
            return max(0, self._clock() - min(arrivals))
        return one.late_ms if one.end > one.done else 0  # between two fetches

"""What a replica that keeps up fetches, and when: profiles always, and while much is written all else now and then.

A request may wait for a profile where clicks are not read ahead of it, and for nothing else. Signals are written just
before the profiles of the same events, so a fetch of everything brings the one or the other, and each names every
partition, which takes replica and broker the longer the more there are.
"""

import math
from collections.abc import Mapping, Sequence
from time import monotonic

from aiokafka import AIOKafkaConsumer, TopicPartition

from domain.log_reader import Record

EVERY_S = 0.05
"""So often at most all else is fetched. When no more is written it may take as long as a broker holds an empty fetch
(FRESHET_FETCH_MAX_WAIT_MS) until the last of it comes, as a fetch of profiles alone is under way then."""


class Fetching:
    """Fetches for a consumer whose partitions are assigned and read to their ends, or nearly so."""

    def __init__(self, consumer: AIOKafkaConsumer, always: str, every_s: float = EVERY_S) -> None:
        """Takes the consumer and the topic that is always fetched."""
        self._consumer = consumer
        self._others = {one for one in consumer.assignment() if one.topic != always}
        self._every_s = every_s
        self._others_came_s = -math.inf

    async def next(self, timeout_s: float) -> Mapping[TopicPartition, Sequence[Record]]:
        """Returns what comes next, by partition; empty where nothing came in time, or sooner."""
        left_s = self._others_came_s + self._every_s - monotonic()
        if left_s <= 0 and self._consumer.paused():
            self._consumer.resume(*self._others)
        if self._consumer.paused():
            timeout_s = min(timeout_s, left_s)
        # Without a bound on the records each fetch comes out whole, and positions stay true.
        fetched: Mapping[TopicPartition, Sequence[Record]] = await self._consumer.getmany(timeout_ms=timeout_s * 1000)
        if not self._others.isdisjoint(fetched):
            now_s = monotonic()
            if now_s - self._others_came_s < self._every_s and not self._more_waits(fetched):
                self._consumer.pause(*self._others)
            self._others_came_s = now_s
        return fetched

    def _more_waits(self, fetched: Mapping[TopicPartition, Sequence[Record]]) -> bool:
        """Whether Kafka said that it held more than it gave: who is behind does not rest."""
        return any(records[-1].offset + 1 < (self._consumer.highwater(one) or 0) for one, records in fetched.items())

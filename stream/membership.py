"""Whether this worker may write: only while Kafka cannot have given its partitions to another.

A process can be stopped and go on later (SIGSTOP, a paused machine, a network that comes back): a zombie. By
then another worker has its partitions and may have written newer values, which a late write would overwrite.
"""

import asyncio
import logging
import time

from domain.errors import FreshetError

log = logging.getLogger(__name__)

LOOK_S = 0.02

SILENT_S = 1.0
"""Writes that have waited so long say so; at a start and after a rebalance it takes less."""


class NoMember(FreshetError):
    """Kafka has put this worker out of its group; what it computed is another's to compute again."""


class Membership:
    """A lease on the worker's partitions that each heartbeat renews.

    Kafka keeps a member for a session after it heard of it, and it heard of it no earlier than the heartbeat
    was sent. The consumer's thread renews, the outbox asks before it writes.
    """

    def __init__(self, session_s: float) -> None:
        self._session_s = session_s
        self._until_s = 0.0
        self._ended = False

    def renew(self, asked_s: float) -> None:
        """Kafka answered well to a heartbeat that was sent at this time, by the monotonic clock."""
        self._ended = False
        self._until_s = asked_s + self._session_s

    def end(self) -> None:
        """Kafka does not know this member any more, or it has left."""
        self._ended = True

    @property
    def holds(self) -> bool:
        """Whether nobody else can have this worker's partitions now."""
        return not self._ended and time.monotonic() < self._until_s

    async def assured(self) -> None:
        """Returns when nobody else can have this worker's partitions; waits for a heartbeat where it must.

        Raises:
            NoMember: somebody else may have them.
        """
        silent_until_s = time.monotonic() + SILENT_S
        while not self.holds:
            if self._ended:
                raise NoMember("Kafka has given this worker's partitions away while it was stopped or cut off")
            if time.monotonic() >= silent_until_s:
                silent_until_s = float("inf")
                log.warning("writes wait for Kafka to answer a heartbeat; a session takes %g s", self._session_s)
            await asyncio.sleep(LOOK_S)

"""The states of the partitions that this worker owns now; restored on first use, dropped on revocation."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from stream.outbox import leave

State = TypeVar("State")


class OwnedPartitions(Generic[State]):
    """Holds one state for each owned partition.

    A partition that is revoked is forgotten at once, even if it comes back in the same rebalance: another
    worker may have owned it in between, and what it wrote must be read.
    """

    def __init__(self, restore: Callable[[int], Awaitable[State]]) -> None:
        self._restore = restore
        self._states: dict[int, State] = {}
        self._drops = 0
        self._taking: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def get(self, partition: int) -> State:
        """Returns the partition's state, reading it from Kafka the first time."""
        if partition in self._states:
            return self._states[partition]
        async with self._lock:  # the agents of interactions and of users share one state
            if partition in self._states:
                return self._states[partition]
            drops = self._drops
            state = await self._restore(partition)
            if drops == self._drops:  # else: revoked meanwhile, so the next owner may have written since
                self._states[partition] = state
            return state

    def take(self, partitions: set[int]) -> None:
        """Begins to read partitions that were assigned."""
        self._taking = asyncio.create_task(self._take(partitions))

    async def _take(self, partitions: set[int]) -> None:
        try:
            for partition in sorted(partitions):
                await self.get(partition)
        except Exception:
            leave("the worker cannot read the state of its partitions")

    def drop(self, partitions: set[int]) -> None:
        """Forgets revoked partitions."""
        self._drops += 1
        if self._taking is not None:
            self._taking.cancel()
        for partition in partitions:
            self._states.pop(partition, None)

    def __len__(self) -> int:
        return len(self._states)

"""Who may come in, and whose turn it is: overload is answered at once instead of in a queue that grows.

A request computes without a pause, so on one event loop everybody waits behind everybody. Here requests take turns,
one in each turn of the loop; between two of them the loop looks at its sockets, so that whoever is let past the
queue (health, metrics) waits for one request and not for all of them.
"""

import asyncio
from collections import deque


class Admission:
    """Counts who is inside, and wakes one after another of those who wait.

    Attributes:
        inside: requests that were let in and have not ended.
    """

    def __init__(self, max_queued: int, max_in_flight: int) -> None:
        self._max_queued = max_queued
        self._max_in_flight = max_in_flight
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.inside = 0

    def refusal(self) -> str | None:
        """Says why nobody more can come in now; None if there is room."""
        if len(self._waiting) >= self._max_queued:
            return f"{self._max_queued} requests wait for the processor already (FRESHET_MAX_QUEUED)"
        if self.inside >= self._max_in_flight:
            return f"{self._max_in_flight} requests are being answered already (FRESHET_MAX_IN_FLIGHT)"
        return None

    async def turn(self) -> None:
        """Waits for one's turn to compute, first come, first served."""
        loop = asyncio.get_running_loop()
        mine: asyncio.Future[None] = loop.create_future()
        self._waiting.append(mine)
        if len(self._waiting) == 1:
            loop.call_soon(self._next)
        await mine

    def _next(self) -> None:
        one = self._waiting.popleft()
        if not one.done():  # else: its connection was closed meanwhile
            one.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._next)

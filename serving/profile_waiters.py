"""Requests that wait for a profile to reflect an event."""

import asyncio

from domain.positions import Position
from serving.pending import Pending

TURNS = 6
"""Turns of the event loop from bytes on a socket to a record that is applied. With this many seven in ten slates that
were asked for as soon as Kafka had the click reflected it, with none one in three (1,000 events a second)."""


async def what_came() -> None:
    """Lets records be applied that have reached this process already: a slate keeps the event loop for milliseconds."""
    for _ in range(TURNS):
        await asyncio.sleep(0)


class ProfileWaiters:
    """Requests that wait until a user's profile reflects a position. No polling: the apply wakes them."""

    def __init__(self, pending: Pending) -> None:
        self._pending = pending
        self._waiting: dict[str, list[tuple[Position, asyncio.Future[None]]]] = {}

    def applied(self, user_id: str) -> None:
        """Wakes whoever waits for what this user's profile reflects by now."""
        for position, future in self._waiting.get(user_id, ()):
            if not future.done() and self._pending.reflects(user_id, position):
                future.set_result(None)

    async def reached(self, user_id: str, position: Position, wait_ms: int) -> bool:
        """Whether the user's profile reflects the position, now or within `wait_ms`."""
        if self._pending.reflects(user_id, position):
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (position, future)
        self._waiting.setdefault(user_id, []).append(entry)
        try:
            async with asyncio.timeout(wait_ms / 1000):  # unlike wait_for it goes on in the very next turn of the loop
                await future
            return True
        except TimeoutError:
            return False
        finally:
            self._waiting[user_id].remove(entry)
            if not self._waiting[user_id]:
                del self._waiting[user_id]

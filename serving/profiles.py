"""Profiles as a replica holds them, and the waiting for one to reflect an event."""

import asyncio
from collections.abc import Iterator
from typing import Protocol

from domain.codecs import unpack
from domain.errors import SnapshotCorrupt
from domain.profile import Profile, Reach
from serving.columns import NOTHING, Column, Columns


class ProfileStore(Protocol):
    """Where a replica keeps profiles: its memory, or a store beside it when they outgrow that."""

    def get(self, user_id: str) -> Profile | None:
        """Returns a user's profile, None for a user who is not known."""

    def put(self, user_id: str, raw: bytes | None) -> Profile | None:
        """Takes an encoded profile (None deletes) and returns it, or None if it was refused as older."""

    def __len__(self) -> int: ...

    def user_ids(self) -> Iterator[str]:
        """The users, in the order in which they came."""

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Gives what a snapshot needs."""

    def restore(self, columns: Columns | None) -> None:
        """Takes what `columns` gave, in the place of all that it holds; None for nothing."""


class MemoryProfiles:
    """Profiles in this process's memory, encoded: a tenth of what decoded ones take.

    A snapshot's stay in its file until they change.
    """

    def __init__(self) -> None:
        self._saved = NOTHING
        self._users: dict[str, bytes | int] = {}  # a profile, or the number of a saved one

    def get(self, user_id: str) -> Profile | None:
        """Returns a user's profile, None for a user who is not known."""
        raw = self._raw(user_id)
        return None if raw is None else unpack(raw, Profile)

    def put(self, user_id: str, raw: bytes | None) -> Profile | None:
        """Takes an encoded profile (None deletes) and returns it, or None if it was refused as older."""
        if raw is None:
            self._users.pop(user_id, None)
            return None
        profile = unpack(raw, Profile)
        held = self._raw(user_id)
        if held is not None and not profile.replaces(unpack(held, Reach)):
            return None
        self._users[user_id] = raw
        return profile

    def _raw(self, user_id: str) -> bytes | None:
        held = self._users.get(user_id)
        return held if held is None or isinstance(held, bytes) else self._saved[held]

    def __len__(self) -> int:
        return len(self._users)

    def user_ids(self) -> Iterator[str]:
        """The users, in the order in which they came."""
        return iter(self._users)

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Gives what a snapshot needs."""
        held, saved = self._users.copy(), self._saved
        yield "users", (user_id.encode() for user_id in held)
        yield "profiles", (one if isinstance(one, bytes) else saved[one] for one in held.values())

    def restore(self, columns: Columns | None) -> None:
        """Takes what `columns` gave, in the place of all that it holds; None for nothing."""
        if columns is None:
            self._users, self._saved = {}, NOTHING
            return
        saved, names = columns.strings("profiles"), columns.strings("users").texts()
        users: dict[str, bytes | int] = dict(zip(names, range(len(names)), strict=True))
        if len(users) != len(saved):
            raise SnapshotCorrupt(f"{len(users)} users with {len(saved)} profiles")
        self._users, self._saved = users, saved


class ProfileWaiters:
    """Requests that wait until a user's profile reflects an offset. No polling: the apply wakes them."""

    def __init__(self, profiles: ProfileStore) -> None:
        self._profiles = profiles
        self._waiting: dict[str, list[tuple[int, asyncio.Future[None]]]] = {}

    def applied(self, user_id: str, position: int) -> None:
        """Wakes whoever waits for this user at or below the position."""
        waiting = self._waiting.get(user_id)
        if not waiting:
            return
        for offset, future in waiting:
            if offset <= position and not future.done():
                future.set_result(None)

    async def reached(self, user_id: str, offset: int, wait_ms: int) -> bool:
        """Whether the user's profile reflects the offset, now or within `wait_ms`."""
        profile = self._profiles.get(user_id)
        if profile is not None and profile.position >= offset:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        entry = (offset, future)
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

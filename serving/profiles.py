"""Profiles as workers wrote them and a replica holds them."""

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

    def position(self, user_id: str) -> int:
        """Returns the position of a user's profile, -1 for a user who is not known."""

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

    def position(self, user_id: str) -> int:
        """Returns the position of a user's profile, -1 for a user who is not known."""
        raw = self._raw(user_id)
        return -1 if raw is None else unpack(raw, Reach).position

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

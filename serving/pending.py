"""What users did that no worker's profile reflects yet, as a replica reads it from `interactions` itself.

A profile is a function of a set of interactions. So a replica need not wait for a worker to write it: it adds what lies
above the written profile's position to the set, and comes to what the worker will write. The worker's value takes its
place as soon as it comes, and nothing of this outlives the process.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

from domain.errors import EventError
from domain.interactions import Interaction, InteractionType, interaction_of
from domain.log_reader import Record
from domain.positions import Position
from domain.profile import EMPTY, Profile, insert, moved_to, touch_of, with_pending
from serving.profiles import ProfileStore

MOST = 100_000
"""Interactions that are held, some 40 MB: reached where workers are far behind, or away. Then who did nothing for
longest is let go of, and sees the profile that was written."""


ON_THE_WAY = 2_000
"""Records before what workers have dealt with that are read as well: an item learns of one before its user's profile is
written, and a worker may have ended in between."""


class _Held(NamedTuple):
    """One user's set: interactions that were read and are not reflected, with the last one's position and arrival."""

    partition: int
    profile: Profile

    @property
    def size(self) -> int:
        return 1 + len(self.profile.touches)


class Pending:
    """The interactions of each user above what `profiles` reflects, as far as they were read. No Kafka in here."""

    def __init__(
        self,
        profiles: ProfileStore,
        types: Mapping[str, InteractionType],
        profile_size: int,
        worked_to: Callable[[int], int],
        most: int = MOST,
    ) -> None:
        """Holds nothing.

        Args:
            profiles: what workers wrote.
            types: the interaction types that this deployment knows.
            profile_size: how many interactions a profile remembers.
            worked_to: an offset of a partition up to which items have learned of all, -1 for none.
            most: how many interactions are held.
        """
        self._profiles = profiles
        self._types = types
        self._profile_size = profile_size
        self._worked_to = worked_to
        self._most = most
        self._users: dict[str, _Held] = {}  # whoever did something last stands last
        self._count = 0
        self._whole_from: dict[int, int] = {}  # by partition: nothing from here to `_next` is missing
        self._next: dict[int, int] = {}

    def __len__(self) -> int:
        return self._count

    def begin(self, partition: int, offset: int) -> None:
        """Says where reading a partition begins or goes on; what lies between may be missing in what is held."""
        if offset < self._next.get(partition, 0):  # another log
            self.clear()
        if offset != self._next.get(partition):
            self._next[partition] = self._whole_from[partition] = offset

    def take(self, record: Record) -> str | None:
        """Takes the next record of its partition; offsets without one, as transactions leave, are no loss.

        Returns:
            Whose it is; None where no worker will use it, or one has written what it led to.
        """
        partition, offset = record.partition, record.offset
        if offset < self._next.get(partition, offset + 1):
            self.begin(partition, offset)
        self._next[partition] = offset + 1
        try:
            one = interaction_of(record.key, record.value, record.timestamp, self._types)
        except EventError:  # a worker makes a dead letter of it
            return None
        if self._profiles.position(one.user_id) >= offset:
            return None
        held = self._let_go(one.user_id) or _Held(partition, EMPTY)
        self._hold(one.user_id, held._replace(profile=self._with(held.profile, one, record)))
        return one.user_id

    def settle(self, user_id: str, position: int) -> bool:
        """Lets go of what a written profile reflects; returns whether that was all known here."""
        held = self._users.get(user_id)
        if held is None:
            return False
        known = held.profile.position >= position
        self._let_go(user_id)
        if held.profile.position > position:
            left = tuple(one for one in held.profile.touches if one.offset > position)
            self._hold(
                user_id, held._replace(profile=Profile(left, held.profile.position, arrived_ms=held.profile.arrived_ms))
            )
        return known

    def profile(self, user_id: str) -> Profile | None:
        """Returns a user's profile with all that was read, None for a user who is not known."""
        written, held = self._profiles.get(user_id), self._users.get(user_id)
        return written if held is None else with_pending(written or EMPTY, held.profile, self._profile_size)

    def reflects(self, user_id: str, position: Position) -> bool:
        """Whether `profile` reflects a record of this user, and all before it."""
        written, held = self._profiles.position(user_id), self._users.get(user_id)
        if held is None or written >= position.offset:
            return written >= position.offset
        known_to = max(written, self._worked_to(held.partition))  # behind it and before `_whole_from` something may lie
        return held.profile.position >= position.offset and self._whole_from[held.partition] <= known_to + 1

    def next_offset(self, partition: int) -> int:
        """The offset at which reading a partition goes on: behind what was read or, nearly, what workers dealt with."""
        return max(self._next.get(partition, 0), self._worked_to(partition) + 1 - ON_THE_WAY)

    def clear(self) -> None:
        """Forgets all, as before the first record."""
        self._count = 0
        for one in (self._users, self._whole_from, self._next):
            one.clear()

    def _with(self, profile: Profile, one: Interaction, record: Record) -> Profile:
        if self._types[one.type].weight:  # else it leaves no trace, as with a worker
            profile, _ = insert(profile, touch_of(one, record.offset), self._profile_size)
        return moved_to(profile, record.offset, record.timestamp)

    def _hold(self, user_id: str, held: _Held) -> None:
        self._users[user_id] = held
        self._count += held.size
        while self._count > self._most and len(self._users) > 1:
            gone = self._let_go(next(iter(self._users)))
            if gone is not None:
                self._whole_from[gone.partition] = max(self._whole_from[gone.partition], gone.profile.position + 1)

    def _let_go(self, user_id: str) -> _Held | None:
        held = self._users.pop(user_id, None)
        self._count -= held.size if held else 0
        return held

"""The user profile: a pure function of the set of a user's latest interactions.

A profile is the bounded set of a user's newest interactions, ordered by (event_time, event_id). Insertion
is a set insertion, so it is commutative, associative and idempotent: duplicates, late events, replay and
the merging of a guest into a login give the same profile by construction. Everything else that is said of
a user (interests, seen items, category affinities) is derived from this set by whoever reads it, so a
profile heals by itself when an item is embedded late, changed or deleted.

The stream worker writes profiles, serving reads them, the backtest does both.
"""

from bisect import bisect_left
from enum import StrEnum
from sys import intern

import msgspec

from domain.interactions import Interaction


class Touch(msgspec.Struct, frozen=True, array_like=True, order=True, gc=False):
    """One remembered interaction. The first two fields are its place in the order of the set.

    `offset` is where its record lies in its partition of `interactions`: the same event id at another
    offset is a duplicate, and the lower offset counts.
    """

    event_time: int
    event_id: str
    item_id: str
    type: str
    value: float | None
    offset: int


class Profile(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What is remembered of one user.

    Attributes:
        touches: the newest interactions, ascending by (event_time, event_id), each event id once.
        position: highest offset of the user's partition of `interactions` that is reflected; -1 for none.
            A profile with a lower position never replaces one with a higher.
        changes_position: the same for the `users` topic.
        arrived_ms: when the newest reflected record reached Kafka, epoch milliseconds; for freshness.
        forgotten_until: events dated up to this time are forgotten and stay out; -1 for never erased.
        opted_out: nothing is remembered until the user opts in again.
        merged_into: the login that took over this guest; later events of the guest go there.
    """

    touches: tuple[Touch, ...] = ()
    position: int = -1
    changes_position: int = -1
    arrived_ms: int = 0
    forgotten_until: int = -1
    opted_out: bool = False
    merged_into: str | None = None

    def replaces(self, other: "Profile | Reach | None") -> bool:
        """Whether this value may take the place of `other`: neither of its positions is lower."""
        return other is None or (self.position >= other.position and self.changes_position >= other.changes_position)


class Reach(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How far a profile has come, read without its interactions, which are most of the work of decoding it."""

    touches: msgspec.Raw = msgspec.Raw(b"\x90")
    position: int = -1
    changes_position: int = -1


EMPTY = Profile()


class Insertion(StrEnum):
    """What became of an interaction that was offered to a profile."""

    NEW = "new"
    REDELIVERED = "redelivered"
    DUPLICATE = "duplicate"
    TOO_OLD = "too_old"
    FORGOTTEN = "forgotten"


def touch_of(interaction: Interaction, offset: int) -> Touch:
    """Returns what a profile remembers of an interaction."""
    return Touch(
        interaction.event_time,  # type: ignore[arg-type]  # a whole number since it was decoded
        interaction.event_id,
        intern(interaction.item_id),  # one string for all that remember it, which then know it by its address
        interaction.type,
        interaction.value,
        offset,
    )


def insert(profile: Profile, touch: Touch, size: int) -> tuple[Profile, Insertion]:
    """Offers one interaction to the set and says what became of it.

    Args:
        profile: the set so far.
        touch: the interaction.
        size: how many interactions a profile remembers.

    Returns:
        The profile (the same object where nothing changed) and the outcome: NEW; REDELIVERED, the same
        event at the same offset; DUPLICATE, the same id at another offset; TOO_OLD, older than everything
        in a full set; FORGOTTEN, erased or opted out. Only NEW may move anything else, such as signals.
        A duplicate with a lower offset takes the other's place, and is still a duplicate.
    """
    if profile.opted_out or touch.event_time <= profile.forgotten_until:
        return profile, Insertion.FORGOTTEN
    touches = profile.touches
    for known in touches:
        if known.event_id == touch.event_id:
            if known.offset == touch.offset:
                return profile, Insertion.REDELIVERED
            if touch.offset > known.offset:
                return profile, Insertion.DUPLICATE
            rest = tuple(one for one in touches if one is not known)
            return _with(profile, _placed(rest, touch, size)), Insertion.DUPLICATE
    if len(touches) >= size and touch < touches[0]:
        return profile, Insertion.TOO_OLD
    return _with(profile, _placed(touches, touch, size)), Insertion.NEW


def forget(profile: Profile, until: int) -> Profile:
    """Erases everything dated up to `until` (epoch milliseconds), now and for late events to come."""
    until = max(until, profile.forgotten_until)
    kept = tuple(touch for touch in profile.touches if touch.event_time > until)
    return msgspec.structs.replace(profile, touches=kept, forgotten_until=until)


def moved_to(profile: Profile, position: int, arrived_ms: int) -> Profile:
    """Returns the profile with its position advanced to a record that has been dealt with."""
    if position <= profile.position:
        return profile
    return msgspec.structs.replace(profile, position=position, arrived_ms=max(arrived_ms, profile.arrived_ms))


def with_pending(profile: Profile, pending: Profile, size: int) -> Profile:
    """Returns a profile as it will be once its writer has dealt with what it does not reflect yet.

    Args:
        profile: as it was written.
        pending: a set of later interactions, with the position and arrival of the last of them; those that `profile`
            reflects by now are passed over.
        size: how many interactions a profile remembers; never fewer than `profile` does.

    Returns:
        The same that `insert` comes to, record by record, but in one pass. Two things are not looked at, and right
        again when the profile is written: an event id that comes a second time with another time, and a login that
        came by the very guest it was merged into, as in a circle of merges.
    """
    if profile.merged_into is None and not profile.opted_out:
        known = {one.event_id for one in profile.touches}
        new = [
            one
            for one in pending.touches
            if one.offset > profile.position and one.event_time > profile.forgotten_until and one.event_id not in known
        ]
        if new:
            size = max(size, len(profile.touches))
            profile = _with(profile, tuple(sorted((*profile.touches, *new))[-size:]))
    return moved_to(profile, pending.position, pending.arrived_ms)


def _placed(touches: tuple[Touch, ...], touch: Touch, size: int) -> tuple[Touch, ...]:
    at = bisect_left(touches, touch)
    return (*touches[:at], touch, *touches[at:])[-size:]


def _with(profile: Profile, touches: tuple[Touch, ...]) -> Profile:
    return msgspec.structs.replace(profile, touches=touches)

"""What a batch of user changes (erase, merge, opt out and in) does to a partition's state. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from domain.codecs import pack
from domain.errors import EventError, MalformedEvent, without_frames
from domain.interactions import Interaction
from domain.log_reader import Record
from domain.profile import Profile, Touch, forget
from domain.users import UserChange, decode_user_change
from stream.partition_state import PartitionState


@dataclass
class ChangeOutcome:
    """What one batch of user changes led to; `moved` are the interactions to send again under the login."""

    profiles: dict[str, bytes] = field(default_factory=dict)
    moved: list[tuple[str, Interaction]] = field(default_factory=list)
    refused: list[tuple[Record, EventError]] = field(default_factory=list)


def apply_user_changes(state: PartitionState, records: Sequence[Record]) -> ChangeOutcome:
    """Applies one partition's user changes, in offset order, to its state, in place.

    A merge names the login in the guest's profile and empties it; the guest's interactions are sent again
    under the login's id with the ids they had, so doing it twice changes nothing. A change that was
    applied before is recognised by its offset.
    """
    outcome = ChangeOutcome()
    for record in records:
        try:
            change = _decoded(record)
        except EventError as error:
            outcome.refused.append((record, without_frames(error)))
            continue
        profile = state.profile(change.user_id)
        if record.offset <= profile.changes_position:
            continue
        if change.action == "merge" and change.target is not None:
            outcome.moved += [(change.user_id, _again(touch, change.target)) for touch in profile.touches]
        changed = msgspec.structs.replace(_changed(profile, change), changes_position=record.offset)
        outcome.profiles[change.user_id] = state.profiles[change.user_id] = pack(changed)
    return outcome


def keep_forgotten(profile: Profile, later: Profile, whole: bool) -> Profile:
    """Returns a replayed profile as it must be for what its user has had forgotten, whenever that was.

    `users` is compacted, so a replay may not meet a change that a later one of the same user has replaced, and
    one that looks back must not bring to light what was erased since.

    Args:
        profile: as the replay has it.
        later: the live one.
        whole: whether the replay went as far as the live state; if not, the change itself is yet to come, and
            only what it takes away is missing.
    """
    gone = later.opted_out or (whole and later.merged_into is not None)
    touches = () if gone else forget(profile, later.forgotten_until).touches
    if not whole:
        return msgspec.structs.replace(profile, touches=touches)
    return msgspec.structs.replace(
        profile,
        touches=touches,
        forgotten_until=max(profile.forgotten_until, later.forgotten_until),
        opted_out=later.opted_out,
        merged_into=later.merged_into,
    )


def _changed(profile: Profile, change: UserChange) -> Profile:
    replace = msgspec.structs.replace
    match change.action:
        case "merge":
            return replace(profile, touches=(), merged_into=change.target)
        case "opt_in":
            # What happened meanwhile stays out, also if it arrives late or is replayed.
            return replace(forget(profile, change.time_ms) if profile.opted_out else profile, opted_out=False)
        case "opt_out":
            return replace(forget(profile, change.time_ms), opted_out=True)
        case _:
            return forget(profile, change.time_ms)


def _again(touch: Touch, target: str) -> Interaction:
    return Interaction(
        event_id=touch.event_id,
        type=touch.type,
        user_id=target,
        item_id=touch.item_id,
        event_time=touch.event_time,
        value=touch.value,
    )


def _decoded(record: Record) -> UserChange:
    if record.value is None:
        raise MalformedEvent('the record has no value; to erase a user send {"action": "erase", ...}')
    change = decode_user_change(record.value)
    if record.key != change.user_id.encode():
        raise MalformedEvent(f"user_id: the record's key is {record.key!r} but user_id is {change.user_id!r}")
    return change

"""What a batch of user changes (erase, merge, opt out and in) does to a partition's state. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from domain.codecs import pack
from domain.errors import EventError, MalformedEvent
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
            outcome.refused.append((record, error))
            continue
        profile = state.profile(change.user_id)
        if record.offset <= profile.changes_position:
            continue
        if change.action == "merge" and change.target is not None:
            outcome.moved += [(change.user_id, _again(touch, change.target)) for touch in profile.touches]
        changed = msgspec.structs.replace(_changed(profile, change), changes_position=record.offset)
        outcome.profiles[change.user_id] = state.profiles[change.user_id] = pack(changed)
    return outcome


def _changed(profile: Profile, change: UserChange) -> Profile:
    replace = msgspec.structs.replace
    match change.action:
        case "merge":
            return replace(profile, touches=(), merged_into=change.target)
        case "opt_in":
            return replace(profile, opted_out=False)
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

"""The interaction: one thing that one user did to one item. The contract of the `interactions` topic."""

import math
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr
from pydantic import BaseModel, ConfigDict, Field

from domain.errors import FutureEvent, MalformedEvent, UnknownEventType
from domain.records import MAX_EPOCH_MS, MAX_ID_LENGTH, MAX_RECORD_BYTES, checked_id, convert, decode, epoch_ms

MAX_FUTURE_MS = 300_000
"""Clocks differ; an event dated further ahead than this would outrank everything until then."""

SCHEMA_VERSION = 1


class InteractionType(BaseModel):
    """What one type of interaction says about taste."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(description="pull on the profile; negative pushes away, 0 leaves no trace in the profile")
    half_life_days: float = Field(default=30.0, gt=0, description="after this many days the pull has halved")
    marks_seen: bool = Field(default=True, description="whether the item is then kept out of the user's slates")
    neutral_value: float | None = Field(
        default=None,
        description="if set, `value` counts: the weight is multiplied by (value - neutral_value)",
    )


INTERACTION_TYPES: dict[str, InteractionType] = {
    "impression": InteractionType(weight=0.0, marks_seen=False),
    "view": InteractionType(weight=0.3, half_life_days=7, marks_seen=False),
    "click": InteractionType(weight=1.0, half_life_days=30),
    "cart": InteractionType(weight=2.0, half_life_days=30),
    "purchase": InteractionType(weight=4.0, half_life_days=180),
    "like": InteractionType(weight=3.0, half_life_days=180),
    "dislike": InteractionType(weight=-3.0, half_life_days=180),
    # A 5 of 5 weighs as much as a like, a 2 nothing, a 1 speaks against.
    "rating": InteractionType(weight=1.0, half_life_days=180, neutral_value=2.0),
    "hide": InteractionType(weight=-4.0, half_life_days=365),
}
"""The types that every deployment knows; FRESHET_INTERACTION_TYPES adds to them or replaces one."""

_Id = Annotated[str, Meta(min_length=1, max_length=128)]
_Context = Annotated[
    dict[
        Annotated[str, Meta(min_length=1, max_length=64)],
        Annotated[str, Meta(max_length=256)] | float | bool | None,
    ],
    Meta(max_length=16),
]


class Interaction(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """One thing that one user did to one item.

    `event_id` is the caller's: the same id of the same user never counts twice. `event_time` is read from
    epoch milliseconds or RFC 3339 and kept as epoch milliseconds. Unknown fields are ignored.
    """

    event_id: _Id
    type: Annotated[str, Meta(min_length=1, max_length=64)]
    user_id: _Id
    item_id: _Id
    event_time: int | float | str
    value: Annotated[float, Meta(ge=-1e9, le=1e9)] | None = None
    dwell_ms: Annotated[int, Meta(ge=0, le=86_400_000)] | None = None
    session_id: _Id | None = None
    recommendation_id: _Id | None = None
    position: Annotated[int, Meta(ge=0, le=100_000)] | None = None
    context: _Context | None = None
    version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        ids = self.event_id + self.user_id + self.item_id
        # One look at all three where nothing is wrong: this runs for every event.
        sound = len(ids) <= MAX_ID_LENGTH and ids.isprintable() and " " not in ids
        if not (sound and self.event_id and self.user_id and self.item_id):
            checked_id("event_id", self.event_id)
            checked_id("user_id", self.user_id)
            checked_id("item_id", self.item_id)
        if self.session_id is not None:
            checked_id("session_id", self.session_id)
        if self.recommendation_id is not None:
            checked_id("recommendation_id", self.recommendation_id)
        if type(self.event_time) is not int or not 0 <= self.event_time <= MAX_EPOCH_MS:
            force_setattr(self, "event_time", epoch_ms("event_time", self.event_time))
        if self.value is not None and not math.isfinite(self.value):
            raise ValueError(f"value: expected a finite number, got {self.value}")

    @property
    def time_ms(self) -> int:
        """The event's own time in epoch milliseconds."""
        return int(self.event_time)


_decode = msgspec.json.Decoder(Interaction).decode


def decode_interaction(
    raw: bytes | str, arrival_ms: int, types: Mapping[str, InteractionType] = INTERACTION_TYPES
) -> Interaction:
    """Decodes an interaction from JSON and checks everything that can be wrong with it.

    Raises:
        MalformedEvent: not JSON, or a field is missing or out of bounds.
        UnknownEventType: a type outside `types`, or another schema version.
        FutureEvent: dated more than five minutes after `arrival_ms`.
    """
    try:  # what is right goes the short way: this runs for every event
        if type(raw) is bytes and len(raw) <= MAX_RECORD_BYTES:
            one = _decode(raw)
            ahead_ms: int = one.event_time - arrival_ms  # type: ignore[operator, assignment]  # whole by now
            if one.version == SCHEMA_VERSION and one.type in types and ahead_ms <= MAX_FUTURE_MS:
                return one
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass  # what is wrong with it is said below
    return check_interaction(decode(raw, Interaction), arrival_ms, types)


def interaction_of(
    key: bytes | None, value: bytes | None, arrival_ms: int, types: Mapping[str, InteractionType]
) -> Interaction:
    """Reads a record of `interactions`, which reached Kafka at `arrival_ms`.

    Raises:
        MalformedEvent: as `decode_interaction`; or it has no value, or another key than its user.
        UnknownEventType, FutureEvent: as `decode_interaction`.
    """
    if value is None:
        raise MalformedEvent("the record has no value; an interaction cannot be deleted, only its user erased")
    interaction = decode_interaction(value, arrival_ms, types)
    if key != interaction.user_id.encode():
        raise MalformedEvent(
            f"user_id: the record's key is {key!r} but user_id is {interaction.user_id!r};"
            " interactions are keyed by user_id, or a user's events would be spread over partitions"
        )
    return interaction


def convert_interaction(
    value: object, arrival_ms: int, types: Mapping[str, InteractionType] = INTERACTION_TYPES
) -> Interaction:
    """Checks a decoded JSON value as `decode_interaction` does raw JSON."""
    return check_interaction(convert(value, Interaction), arrival_ms, types)


def check_interaction(interaction: Interaction, arrival_ms: int, types: Mapping[str, InteractionType]) -> Interaction:
    """Returns the interaction if this deployment knows its type and its time has come; raises otherwise."""
    if interaction.version != SCHEMA_VERSION:
        raise UnknownEventType(f"version: this deployment reads version {SCHEMA_VERSION}, got {interaction.version}")
    if interaction.type not in types:
        known = ", ".join(sorted(types))
        raise UnknownEventType(f"type: {interaction.type!r} is not one of {known}; add it to FRESHET_INTERACTION_TYPES")
    ahead_ms: int = interaction.event_time - arrival_ms  # type: ignore[operator, assignment]  # whole by now
    if ahead_ms > MAX_FUTURE_MS:
        raise FutureEvent(
            f"event_time: {interaction.time_ms} lies {ahead_ms / 1000:,.0f} s in the future; at most 300 s"
        )
    return interaction


def weight_of(kind: InteractionType, value: float | None) -> float:
    """Returns the pull of one interaction: the type's weight, scaled by its value where the type says so."""
    if kind.neutral_value is None or value is None:
        return kind.weight
    return kind.weight * (value - kind.neutral_value)

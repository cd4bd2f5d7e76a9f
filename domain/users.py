"""What happens to a user as such: erased, merged into another, opted out. The contract of the `users` topic."""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from domain.errors import MalformedEvent
from domain.records import checked_id, convert, decode, epoch_ms


class UserChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One change in a user's life.

    `erase` forgets everything up to `event_time`. `merge` moves all that is known of `user_id` (a guest)
    to `target` (the login). `opt_out` stops learning and forgets; `opt_in` starts again.
    """

    user_id: Annotated[str, Meta(min_length=1, max_length=128)]
    action: Literal["erase", "merge", "opt_out", "opt_in"]
    event_time: int | float | str
    target: Annotated[str, Meta(min_length=1, max_length=128)] | None = None

    def __post_init__(self) -> None:
        checked_id("user_id", self.user_id)
        force_setattr(self, "event_time", epoch_ms("event_time", self.event_time))
        if self.target is not None:
            checked_id("target", self.target)

    @property
    def time_ms(self) -> int:
        """When it happened, in epoch milliseconds."""
        return int(self.event_time)


def decode_user_change(raw: bytes | str) -> UserChange:
    """Decodes a user change from JSON.

    Raises:
        MalformedEvent: naming the field and the value.
    """
    return _check(decode(raw, UserChange))


def convert_user_change(value: object) -> UserChange:
    """Checks a decoded JSON value as `decode_user_change` does raw JSON."""
    return _check(convert(value, UserChange))


def _check(change: UserChange) -> UserChange:
    if change.action == "merge" and change.target in (None, change.user_id):
        raise MalformedEvent(f"target: a merge needs another user's id, got {change.target!r}")
    return change

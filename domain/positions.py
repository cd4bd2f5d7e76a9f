"""Read-your-writes tokens: where an event lies in `interactions`, as a short opaque string.

The Emitter and `POST /v1/events` hand one out for each event; a recommendation for the same user that is
asked with `after=TOKEN` waits until the replica's profile of that user has reached it.
"""

import base64
import binascii
from typing import NamedTuple

from domain.errors import QueryError


class Position(NamedTuple):
    """Where one record lies."""

    partition: int
    offset: int


def to_token(position: Position) -> str:
    """Returns the token of a position."""
    return base64.urlsafe_b64encode(f"{position.partition}.{position.offset}".encode()).decode().rstrip("=")


def from_token(token: str) -> Position:
    """Reads a token.

    Raises:
        QueryError: it is not one of ours.
    """
    try:
        padded = token + "=" * (-len(token) % 4)
        partition, offset = base64.b64decode(padded, altchars=b"-_", validate=True).decode("ascii").split(".")
        return Position(int(partition), int(offset))
    except (ValueError, binascii.Error):
        raise QueryError(f"after: {token[:40]!r} is not a token that /v1/events or the Emitter gave") from None

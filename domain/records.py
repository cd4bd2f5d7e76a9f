"""Decoding of what outsiders send: JSON to checked structs, with errors that name field and value.

Used by the stream worker, the HTTP intake, the importer and the client alike, so a record that one of
them accepts the others accept too.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from domain.errors import MalformedEvent

MAX_RECORD_BYTES = 65_536
"""A record larger than this is refused before it is parsed. An item with the longest texts fits."""

MAX_EPOCH_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, which is what RFC 3339 can write."""

Record = TypeVar("Record")
_PATH = re.compile(r" - at `\$\.?(?:\[\.\.\.\])?([^`]*)`$")


def decode(raw: bytes | str, kind: type[Record]) -> Record:
    """Decodes one JSON record and checks every bound of its kind.

    Raises:
        MalformedEvent: naming the field, its value and what was expected.
    """
    if len(raw) > MAX_RECORD_BYTES:
        raise MalformedEvent(f"record has {len(raw):,} bytes; at most {MAX_RECORD_BYTES:,} are accepted")
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.ValidationError, RecursionError) as error:
        raise MalformedEvent(_explain(raw, str(error))) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedEvent(f"not valid JSON: {error}; it begins with {bytes_preview(raw)}") from None


def convert(value: object, kind: type[Record]) -> Record:
    """Checks a decoded JSON value (an entry of a batch, a CSV row) as `decode` does for raw JSON."""
    return decode(msgspec.json.encode(value), kind)


def bytes_preview(raw: bytes | str, limit: int = 60) -> str:
    """Returns the first characters of a raw record, quoted, for an error message."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return repr(text if len(text) <= limit else text[:limit] + "…")


def _explain(raw: bytes | str, message: str) -> str:
    """Adds the offending value to msgspec's message, which names the path only."""
    found = _PATH.search(message)
    text = message[: found.start()] if found else message
    if not found or not found.group(1):
        return text
    path = found.group(1)
    value = _value_at(raw, re.findall(r"[^.\[\]]+", path))
    return f"{path}: {text[0].lower() + text[1:]}, got {bytes_preview(value)}"


def _value_at(raw: bytes | str, steps: list[str]) -> str:
    value: Any = msgspec.json.decode(raw)
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit():
            value = value[int(step)]
        else:
            break  # msgspec writes [...] for "some key or element"; the nearest parent serves
    return msgspec.json.encode(value).decode()


def checked_id(field: str, value: str) -> str:
    """Returns an id unchanged if it is 1 to 128 printable characters.

    Raises:
        ValueError: naming the field and the value.
    """
    if not 1 <= len(value) <= 128 or not value.isprintable() or value.isspace():
        raise ValueError(f"{field}: an id has 1 to 128 printable characters, got {bytes_preview(value)}")
    return value


def epoch_ms(field: str, value: int | float | str) -> int:
    """Reads a time given as epoch milliseconds or as RFC 3339 with an offset.

    Raises:
        ValueError: naming the field and the value, if it is neither or lies outside 1970 to 9999.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError
            moment_ms = round(moment.astimezone(UTC).timestamp() * 1000)
        else:
            moment_ms = int(value) if math.isfinite(value) else -1
    except (ValueError, OverflowError):
        moment_ms = -1
    if not 0 <= moment_ms <= MAX_EPOCH_MS:
        raise ValueError(
            f"{field}: expected epoch milliseconds or RFC 3339 with an offset "
            f"(2026-11-22T10:00:00Z), got {bytes_preview(str(value))}"
        )
    return moment_ms

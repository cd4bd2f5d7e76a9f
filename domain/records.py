"""Decoding of what outsiders send: JSON to checked structs, with errors that name field and value.

Used by the stream worker, the HTTP intake, the importer and the client alike, so a record that one of
them accepts the others accept too.
"""

import math
import re
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeVar

import msgspec

from domain.errors import MalformedEvent

MAX_RECORD_BYTES = 131_072
"""A larger record is refused before it is parsed. The longest title and description fit, in any script."""

MAX_ID_LENGTH = 128

MAX_EPOCH_MS = 253_402_300_799_999
"""The last millisecond of the year 9999, which is what RFC 3339 can write."""

Record = TypeVar("Record")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_PATH = re.compile(r" - at (?P<key>`key` in )?`\$\.?(?:\[\.\.\.\])?(?P<path>[^`]*)`$")


def decode(raw: bytes | str, kind: type[Record], limit: int = MAX_RECORD_BYTES) -> Record:
    """Decodes one JSON record and checks every bound of its kind.

    Raises:
        MalformedEvent: naming the field, its value and what was expected.
    """
    if isinstance(raw, str):
        raw = raw.encode("utf-8", "surrogatepass")  # a lone surrogate is then refused like any bad UTF-8
    if len(raw) > limit:
        raise MalformedEvent(f"record has {len(raw):,} bytes; at most {limit:,} are accepted")
    try:
        decoded: Record = _decoder(kind).decode(raw)  # type: ignore[arg-type]  # a class can be hashed
        return decoded
    except msgspec.ValidationError as error:
        raise MalformedEvent(_explain(raw, str(error))) from None
    except RecursionError:
        raise MalformedEvent(f"nested too deeply; it begins with {bytes_preview(raw)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedEvent(f"not valid JSON: {error}; it begins with {bytes_preview(raw)}") from None


@cache
def _decoder(kind: Any) -> Any:  # noqa: ANN401
    return msgspec.json.Decoder(kind)  # made once for each kind: to look it up costs as much as to decode


def convert(value: object, kind: type[Record]) -> Record:
    """Checks a decoded JSON value (an entry of a batch, a CSV row, a struct) as `decode` does raw JSON.

    Raises:
        MalformedEvent: as `decode`, or the value cannot be written as JSON at all.
    """
    return decode(to_json(value), kind)


def to_json(value: object) -> bytes:
    """Writes a dict, list or struct as JSON.

    Raises:
        MalformedEvent: JSON has no way to write it.
    """
    try:
        raw = msgspec.json.encode(value)
        # The encoder writes NaN and infinity as null, which would pass for "not given".
        if b"null" in raw and not _is_finite(msgspec.to_builtins(value, str_keys=True)):
            raise MalformedEvent("a number is NaN or infinite; leave the field out or give a finite one")
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        raise MalformedEvent(f"cannot be written as JSON: {error}") from None
    return raw


def bytes_preview(raw: bytes | str, limit: int = 60) -> str:
    """Returns the first characters of a raw record, quoted, for an error message."""
    text = raw.decode("utf-8", "backslashreplace") if isinstance(raw, bytes) else raw
    return repr(text if len(text) <= limit else text[:limit] + "…")


def _is_finite(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    if isinstance(value, list):
        return all(map(_is_finite, value))
    return not isinstance(value, float) or math.isfinite(value)


def _explain(raw: bytes, message: str) -> str:
    """Adds the offending value to msgspec's message, which names the path only."""
    found = _PATH.search(message)
    if not found or not found["path"]:
        return message[: found.start()] if found else message
    text = message[0].lower() + message[1 : found.start()] + (" as a key" if found["key"] else "")
    value = bytes_preview(_value_at(raw, re.findall(r"[^.\[\]]+", found["path"])))
    return f"{found['path']}: {text}{' ' if ', got ' in text else ', got '}{value}"


def _value_at(raw: bytes, steps: list[str]) -> str | bytes:
    try:
        value: Any = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return raw  # the record is broken further on as well
    for step in steps:
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdigit():
            value = value[int(step)]
        else:
            break  # msgspec writes [...] for "some key or element"; the nearest parent serves
    return msgspec.json.encode(value)


def checked_id(field: str, value: str) -> str:
    """Returns an id unchanged if it is 1 to 128 printable characters.

    Raises:
        ValueError: naming the field and the value.
    """
    if not 1 <= len(value) <= MAX_ID_LENGTH or not value.isprintable() or value.isspace():
        raise ValueError(f"{field}: an id has 1 to 128 printable characters, got {bytes_preview(value)}")
    return value


def epoch_ms(field: str, value: int | float | str) -> int:
    """Reads a time given as epoch milliseconds or as RFC 3339 with an offset; parts of a millisecond are cut.

    Raises:
        ValueError: naming the field and the value, if it is neither or lies outside 1970 to 9999.
    """
    try:
        if isinstance(value, str):
            # Whole numbers throughout: through a float, the two forms of one moment may differ by 1 ms.
            moment_ms = (datetime.fromisoformat(value) - _EPOCH) // _MILLISECOND
        else:
            moment_ms = math.floor(value)
    except (TypeError, ValueError, OverflowError):  # TypeError: a date without an offset
        moment_ms = -1
    if not 0 <= moment_ms <= MAX_EPOCH_MS:
        raise ValueError(
            f"{field}: expected epoch milliseconds or RFC 3339 with an offset "
            f"(2026-11-22T10:00:00Z), got {bytes_preview(str(value))}"
        )
    return moment_ms

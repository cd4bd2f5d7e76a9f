"""The binary envelope of derived values on the compacted topics: one format byte, then MessagePack.

Profiles, item signals and item embeddings are written by one worker and read by many replicas; a reader
that meets a format it does not know must say so instead of guessing.
"""

from functools import cache
from typing import Any, TypeVar

import msgspec

from domain.errors import MalformedEvent

FORMAT = b"\x01"
_encoder = msgspec.msgpack.Encoder()

Value = TypeVar("Value")


def pack(value: msgspec.Struct | dict[int, Any]) -> bytes:
    """Encodes a derived value for its topic, or several by number."""
    return FORMAT + _encoder.encode(value)


def unpack(raw: bytes, kind: type[Value]) -> Value:
    """Decodes a derived value.

    Raises:
        MalformedEvent: another format, or damaged.
    """
    if raw[:1] != FORMAT:
        raise MalformedEvent(f"{kind.__name__}: format byte {raw[:1]!r} is not {FORMAT!r}; upgrade this reader")
    try:
        value: Value = _decoder(kind).decode(memoryview(raw)[1:])  # type: ignore[arg-type] # types are hashable
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedEvent(f"{kind.__name__}: {error}") from None
    return value


@cache
def _decoder(kind: type[Any]) -> msgspec.msgpack.Decoder[Any]:
    return msgspec.msgpack.Decoder(kind)

"""Records as a broken or hostile producer sends them: real events mutated, and values that break parsers.

Half of them stay close to what a worker accepts, because a record that is almost right gets furthest.
"""

import json
import random
from collections.abc import Callable
from typing import Any

from domain.log_reader import LogRecord
from domain.topics import INTERACTIONS, ITEMS, USERS
from tests.builders import START_MS

RAW = (  # JSON text that json.dumps would not write, or would write differently
    *("NaN", "-NaN", "Infinity", "-Infinity", "1e400", "-1e400", "1e-400", "-0", "-0.0", "00", "0x1F", "1_000", "+1"),
    *("9" * 18, "9" * 19, "9" * 20, "9" * 4_000, "9" * 5_000, "1" + "0" * 308 + ".0", "1.7976931348623157e308"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "18446744073709551616", "0.1e-5"),
    *(
        '"\\ud800"',
        '"\\udc00\\ud800"',
        '"\\u0000"',
        '"\\u200b"',
        '"\\u202e"',
        '"\\uffff"',
        '"\\ufffd"',
        '"\\x"',
        '"\n"',
    ),
    *("null", "true", "false", '""', '" "', "{}", "[]", "[[]]", '{"":{}}', "'", '"', "//", "[1,]", '{"a":1,}', ","),
    *("[" * 50 + "]" * 50, "[" * 2_000 + "]" * 2_000, '{"a":' * 2_000 + "1" + "}" * 2_000, "[" * 100_000),
    *('"' + "x" * 128 + '"', '"' + "x" * 129 + '"', '"' + "é" * 1_001 + '"', '"' + "x" * 140_000 + '"'),
    *('"2026-11-22T10:00:00Z"', '"2026-11-22"', '"0000-01-01T00:00:00Z"', '"9999-12-31T23:59:59.999Z"', '"24:00"'),
    *('"-1"', '"e\u0301"', '"\U0001f600"', '["a","a"]', '[""]', '{"a":null}', '{"a":1e999}', '"erase"', '"merge"'),
)
KEYS = (None, b"", b" ", b"\x00", b"\xff\xfe", "�".encode(), b"k" * 129, b"k" * 20_000, b"u0", b"i0", b"null")
VALUES = (
    None,
    b"",
    b" ",
    b"\x00",
    b"null",
    b"0",
    b"[]",
    b"{}",
    b'""',
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf{}",
    b"\xed\xa0\x80",
)
TIMES = (-1, 0, START_MS, 2**62)

Base = Callable[[random.Random], tuple[str, dict[str, Any]]]


def hostile_records(topic: str, rng: random.Random, count: int, partition: int = 0, start: int = 0) -> list[LogRecord]:
    """Returns records of one partition of a topic, offsets from `start`."""
    made = [_made(topic, rng) for _ in range(count)]
    return [
        LogRecord(topic, partition, start + at, rng.choice(TIMES) if rng.random() < 0.02 else START_MS, *one)
        for at, one in enumerate(made)
    ]


def _made(topic: str, rng: random.Random) -> tuple[bytes | None, bytes | None, list[tuple[str, Any]]]:
    owner, fields = BASES[topic](rng)
    if rng.random() < 0.002:
        return None, None, _headers(rng)
    for _ in range(rng.choice((0, 0, 1, 1, 2))):
        _break_a_field(fields, rng)
    value: bytes | None = _written(fields, rng)
    draw = rng.random()
    if draw < 0.15:
        value = _broken_bytes(value or b"", rng)
    elif draw < 0.20:
        value = rng.choice(VALUES)
    elif draw < 0.22:
        value = rng.randbytes(rng.randrange(300))
    elif draw < 0.25:
        value = rng.choice(RAW).encode()
    key = rng.choice(KEYS) if rng.random() < 0.05 else owner.encode()
    return key, value, _headers(rng) if rng.random() < 0.05 else []


def _interaction(rng: random.Random) -> tuple[str, dict[str, Any]]:
    user = f"u{rng.randrange(50)}"
    fields: dict[str, Any] = {
        "event_id": f"e{rng.randrange(100_000)}",
        "type": rng.choice(("click", "view", "like", "purchase", "rating", "impression", "dislike", "hide")),
        "user_id": user,
        "item_id": f"i{rng.randrange(50)}",
        "event_time": START_MS - rng.randrange(10**9),
    }
    more = {"value": 4.5, "dwell_ms": 10, "session_id": "s", "position": 1, "context": {"page": "home"}, "version": 1}
    return user, fields | {name: more[name] for name in rng.sample(sorted(more), rng.randrange(3))}


def _item(rng: random.Random) -> tuple[str, dict[str, Any]]:
    number = rng.randrange(200)
    item, fields = f"i{number}", {"item_id": f"i{number}", "title": f"Title {number}"}  # a new text costs the encoder
    more = {
        "description": "Long ago",
        "categories": ["Drama"],
        "tags": ["old"],
        "attributes": {"year": 1977},
        "price": 9.5,
        "available": True,
        "published_at": START_MS,
        "expires_at": "2030-01-01T00:00:00Z",
    }
    return item, fields | {name: more[name] for name in rng.sample(sorted(more), rng.choice((0, 0, 0, 1, 2)))}


def _change(rng: random.Random) -> tuple[str, dict[str, Any]]:
    user = f"u{rng.randrange(50)}"
    action = rng.choice(("erase", "merge", "opt_out", "opt_in"))
    fields = {"user_id": user, "action": action, "event_time": START_MS - rng.randrange(10**9)}
    return user, fields | ({"target": f"u{rng.randrange(50)}"} if action == "merge" else {})


BASES: dict[str, Base] = {INTERACTIONS: _interaction, ITEMS: _item, USERS: _change}


class _Raw(str):
    """JSON text to be put in as it is."""


def _break_a_field(fields: dict[str, Any], rng: random.Random) -> None:
    name = rng.choice([*fields, "unheard_of", "version", "context", ""])
    if rng.random() < 0.2:
        fields.pop(name, None)
    else:
        fields[name] = _Raw(rng.choice(RAW))


def _written(fields: dict[str, Any], rng: random.Random) -> bytes:
    parts = [
        f"{json.dumps(name)}:{value if isinstance(value, _Raw) else json.dumps(value)}"
        for name, value in fields.items()
    ]
    if parts and rng.random() < 0.03:
        parts.append(rng.choice(parts))  # a field twice
    return ("{" + ",".join(parts) + "}").encode("utf-8", "surrogatepass")


def _broken_bytes(raw: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(raw) + 1)
    match rng.randrange(5):
        case 0:
            return raw[:at]
        case 1:
            return raw[:at] + bytes([rng.randrange(256)]) + raw[at + 1 :]
        case 2:
            return raw[:at] + rng.randbytes(rng.randrange(1, 9)) + raw[at:]
        case 3:
            return raw + raw
        case _:
            return raw[:at] + rng.choice(RAW).encode() + raw[at:]


def _headers(rng: random.Random) -> list[tuple[str, Any]]:
    names = ("freshet-merged-from", "reason", "offset", "original-x", "", "\x00", "traceparent")
    return [(rng.choice(names), rng.choice((None, b"", b"\xff", b"guest", rng.randbytes(20)))) for _ in range(3)]

"""Model artefacts as records of the compacted topic `models`, so that replicas share no disk.

| key | value |
| --- | --- |
| `sequence/VERSION/0000`, `…/0001`, … | the artefact's bytes, cut every CHUNK_BYTES |
| `sequence/VERSION` | the manifest: what the chunks must add up to, and how good the model was |
| `sequence` | the pointer: which version is active |

They are written in this order, the chunks durable before the others begin, the pointer in one batch with its
manifest. Whoever moves the pointer to an old version sends that version's records again first. So a pointer
always follows a whole copy of what it names, in the log as in what compaction leaves of it, and a reader need
not keep old versions for a rollback.

`freshet models` and whoever trains write these, the replicas read them. No Kafka and no clock in here.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from domain.codecs import pack, unpack
from domain.errors import MalformedEvent, QueryError

ModelName = Literal["ranker", "sequence"]
"""`ranker` orders the candidates of a slate, `sequence` finds candidates by what a user did last."""

MODEL_NAMES: tuple[str, ...] = get_args(ModelName)

CHUNK_BYTES = 900_000
"""A record with its key and headers stays below Kafka's default of 1 MiB."""

MAX_BYTES = 1 << 30
"""A larger artefact is refused: every replica takes it into memory twice while it swaps."""

Why = Literal["promoted", "rolled back"]
_KEY = re.compile(r"(?P<name>[a-z-]{1,32})(/(?P<version>[0-9A-Za-z._-]{1,64})(/(?P<chunk>[0-9]{4}))?)?")


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one version of a model.

    Attributes:
        name, version: which; the same as in the key.
        chunks: how many records its bytes are cut into.
        sha256: of the whole artefact, in hex.
        bytes: its length.
        created_ms: when it was made, epoch milliseconds.
        metrics: how good it was on the held-out tail, by measure.
        comparison: the same tail for candidate and active model, as the trainer put it, such as
            `{"against": VERSION, "ndcg@10": {"candidate": 0.21, "active": 0.19}}`; empty if none was active.
        trained_on: what it has seen, in words.
    """

    name: str
    version: str
    chunks: int
    sha256: str
    bytes: int
    created_ms: int
    metrics: dict[str, float] = {}
    comparison: dict[str, Any] = {}
    trained_on: str = ""


class Pointer(msgspec.Struct, frozen=True, kw_only=True):
    """Which version of a model is active.

    Attributes:
        version: the active one.
        previous: the one that was active before it; None for the first.
        why: how it came to be active.
        at_ms: when, epoch milliseconds. It only grows, whatever the clocks say: a lower one never replaces
            a higher.
    """

    version: str
    previous: str | None
    why: Why
    at_ms: int


class Address(NamedTuple):
    """Which record a key names: a chunk, a manifest (no `chunk`) or a pointer (no `version`)."""

    name: str
    version: str | None
    chunk: int | None


def parse_key(key: str) -> Address:
    """Reads a record's key.

    Raises:
        MalformedEvent: it is no model's, or that of a model that this version of Freshet does not know.
    """
    found = _KEY.fullmatch(key)
    if found is None or found["name"] not in MODEL_NAMES:
        raise MalformedEvent(f"key {key[:120]!r} is not of a model; known are {', '.join(MODEL_NAMES)}")
    return Address(found["name"], found["version"], None if found["chunk"] is None else int(found["chunk"]))


def describe(
    name: str, raw: bytes, created_ms: int, metrics: dict[str, float], comparison: dict[str, Any], trained_on: str
) -> Manifest:
    """Returns the manifest of an artefact. Its version is the time and the content: sorted, versions are in order.

    Raises:
        QueryError: no such model, or the artefact is empty or too large.
    """
    if name not in MODEL_NAMES:
        raise QueryError(f"model {name!r} is not one of {', '.join(MODEL_NAMES)}")
    if not 0 < len(raw) <= MAX_BYTES:
        raise QueryError(f"model {name}: an artefact has 1 to {MAX_BYTES:,} bytes, this one has {len(raw):,}")
    digest = sha256(raw).hexdigest()
    made = datetime.fromtimestamp(created_ms / 1000, UTC).strftime("%Y%m%dT%H%M%S")
    return Manifest(
        name=name,
        version=f"{made}-{digest[:8]}",
        chunks=-(-len(raw) // CHUNK_BYTES),
        sha256=digest,
        bytes=len(raw),
        created_ms=created_ms,
        metrics=metrics,
        comparison=comparison,
        trained_on=trained_on,
    )


def records_of(manifest: Manifest, raw: bytes) -> list[tuple[str, bytes]]:
    """Returns the artefact's chunks and, last, its manifest."""
    parts = [raw[at : at + CHUNK_BYTES] for at in range(0, len(raw), CHUNK_BYTES)]
    chunks = [(chunk_key(manifest.name, manifest.version, number), part) for number, part in enumerate(parts)]
    return [*chunks, (manifest_key(manifest.name, manifest.version), pack(manifest))]


def manifest_key(name: str, version: str) -> str:
    """The key of a version's manifest; a pointer's is the bare name."""
    return f"{name}/{version}"


def chunk_key(name: str, version: str, number: int) -> str:
    """The key of one of a version's chunks, counted from 0."""
    return f"{name}/{version}/{number:04}"


def read_manifest(address: Address, raw: bytes) -> Manifest:
    """Decodes a manifest.

    Raises:
        MalformedEvent: another format, damaged, or of another version than its key says.
    """
    manifest = unpack(raw, Manifest)
    if (manifest.name, manifest.version) != (address.name, address.version):
        raise MalformedEvent(f"the manifest is that of {manifest.name}/{manifest.version}")
    return manifest


def join(manifest: Manifest, chunks: Mapping[int, bytes]) -> bytes:
    """Returns the artefact whose chunks these are, by number; more than it has are passed over.

    Costs a copy of the artefact and its sha256.

    Raises:
        MalformedEvent: a chunk is missing, or they do not add up to what the manifest says.
    """
    missing = [number for number in range(manifest.chunks) if number not in chunks]
    if missing:
        raise MalformedEvent(
            f"{manifest.version}: {len(missing)} of {manifest.chunks} chunks are missing: {missing[:9]}"
        )
    raw = b"".join(chunks[number] for number in range(manifest.chunks))
    if len(raw) != manifest.bytes:
        raise MalformedEvent(f"{manifest.version}: has {len(raw):,} bytes, not the manifest's {manifest.bytes:,}")
    if sha256(raw).hexdigest() != manifest.sha256:
        raise MalformedEvent(f"{manifest.version}: the sha256 of its {len(raw):,} bytes is not the manifest's")
    return raw


def moved(before: Pointer | None, version: str, why: Why, now_ms: int) -> Pointer:
    """Returns the pointer after a move to `version`. To the version that is active already: `previous` stays."""
    if before is None:
        return Pointer(version=version, previous=None, why=why, at_ms=now_ms)
    previous = before.previous if before.version == version else before.version
    return Pointer(version=version, previous=previous, why=why, at_ms=max(now_ms, before.at_ms + 1))

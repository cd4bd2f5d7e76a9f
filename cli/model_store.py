"""Publishes models to Kafka, moves the pointer between their versions, and keeps the topic small.

Replicas swap within moments of a move, without a restart. A move sends the version's records again before the
pointer (see domain/models.py). Of two moves at once the later wins.
"""

from typing import Any

from cli.model_contents import Contents, Version, surplus
from cli.model_topic import read_contents, read_records, send_records
from domain.clock import system_clock
from domain.codecs import pack
from domain.errors import MalformedEvent, QueryError
from domain.models import Manifest, Pointer, Why, describe, join, manifest_key, moved, parse_key, records_of
from domain.settings import KafkaSettings


def publish(
    settings: KafkaSettings,
    name: str,
    raw: bytes,
    *,
    metrics: dict[str, float],
    comparison: dict[str, Any],
    trained_on: str,
    promote: bool,
) -> Manifest:
    """Puts a model on the topic, makes it the active one if `promote`, and deletes versions beyond KEPT.

    Raises:
        QueryError: no such model, or the artefact is empty or too large.
        BrokerUnavailable, TopicError, DeliveryError: Kafka did not take it; what was active is so still.
    """
    now_ms = system_clock()
    manifest = describe(name, raw, now_ms, metrics, comparison, trained_on)
    before = read_contents(settings).pointer(name)
    _send(settings, manifest, raw, moved(before, manifest.version, "promoted", now_ms) if promote else None)
    prune(settings)
    return manifest


def list_versions(settings: KafkaSettings, name: str | None = None) -> list[tuple[Version, bool]]:
    """Returns the versions on the topic and whether each is active, by model, the newest first.

    Raises:
        QueryError: no such model.
        BrokerUnavailable, TopicError: the topic cannot be read.
    """
    contents = read_contents(settings)
    active = {(of, at.version) for of, at in contents.pointers.items()}
    return [(one, (one.name, one.version) in active) for one in contents.versions(name)]


def promote(settings: KafkaSettings, name: str, version: str) -> Pointer:
    """Makes a version the active one and returns the pointer. The active one can be promoted again.

    Raises:
        QueryError: no such model, or no such version that is whole.
        MalformedEvent: its bytes are damaged.
        BrokerUnavailable, TopicError, DeliveryError: Kafka did not take it; what was active is so still.
    """
    return _move(settings, read_contents(settings), name, version, "promoted")


def rollback(settings: KafkaSettings, name: str, to: str | None = None) -> Pointer:
    """Goes back to the version that was active before the last promotion, or to one by name.

    Raises:
        QueryError: as `promote`; or nothing was active before; or the last move was a rollback already, so
            that going further back needs a name.
        MalformedEvent, BrokerUnavailable, TopicError, DeliveryError: as `promote`.
    """
    contents = read_contents(settings)
    at = contents.pointer(name)
    if to is None:
        if at is None or at.previous is None:
            raise QueryError(f"model {name}: no version was active before{contents.choice(name)}")
        if at.why == "rolled back":
            told = f"model {name}: rolled back already, from {at.previous} to {at.version}"
            raise QueryError(f"{told}; name the version to go to{contents.choice(name)}")
        to = at.previous
    return _move(settings, contents, name, to, "rolled back")


def fetch(settings: KafkaSettings, name: str, version: str | None = None) -> bytes:
    """Returns the artefact of a version, of the active one unless it is named.

    Raises:
        QueryError: no such model, no such version that is whole, or none is active.
        MalformedEvent: its bytes are damaged.
        BrokerUnavailable, TopicError: the topic cannot be read.
    """
    contents = read_contents(settings)
    at = contents.pointer(name)
    if version is None:
        if at is None:
            raise QueryError(f"model {name}: no version is active{contents.choice(name)}")
        version = at.version
    return _artefact(settings, contents.whole(name, version))


def prune(settings: KafkaSettings) -> list[str]:
    """Deletes what is surplus and returns the keys.

    Raises:
        BrokerUnavailable, TopicError, DeliveryError: Kafka did not answer; the next publication tries again.
    """
    keys = surplus(read_contents(settings), system_clock())
    if keys:
        send_records(settings, [(key, None) for key in keys])
    return keys


def _move(settings: KafkaSettings, contents: Contents, name: str, version: str, why: Why) -> Pointer:
    manifest = contents.whole(name, version)
    pointer = moved(contents.pointer(name), version, why, system_clock())
    _send(settings, manifest, _artefact(settings, manifest), pointer)
    return pointer


def _send(settings: KafkaSettings, manifest: Manifest, raw: bytes, pointer: Pointer | None) -> None:
    *chunks, last = records_of(manifest, raw)
    send_records(settings, chunks, [last] if pointer is None else [last, (manifest.name, pack(pointer))])


def _artefact(settings: KafkaSettings, manifest: Manifest) -> bytes:
    folder = f"{manifest_key(manifest.name, manifest.version)}/"
    records = ((parse_key(key), raw) for key, raw, _ in read_records(settings) if key.startswith(folder))
    chunks = {address.chunk: raw for address, raw in records if address.chunk is not None and raw is not None}
    try:
        return join(manifest, chunks)
    except MalformedEvent as error:
        raise MalformedEvent(f"model {manifest.name}, version {error}; publish it again") from None

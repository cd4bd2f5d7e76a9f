"""The part of `freshet doctor` that asks Kafka and the replica."""

from collections.abc import Iterator, Mapping
from time import perf_counter
from typing import Any

import httpx
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient, OffsetSpec
from kafka.errors import KafkaError

from cli.findings import Finding, not_checked, ok, wrong
from cli.kafka_clients import connected, with_coordinator
from domain.errors import BrokerUnavailable, ConfigError
from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS, INTERACTIONS, ITEMS, STREAM_GROUP, USERS, faults
from stream.topic_admin import REMEDY, describe_topics, specs_of

READABLE_API = (2, 2)
"""The Kafka version to speak when asking for a group's members: the embedded broker's answer to a newer
question has a field that kafka-python 3.0.12 cannot read. Apache Kafka 4 speaks it as well."""

REQUEST_TIMEOUT_MS = 5_000
REPLICA_TIMEOUT_S = 3.0


def check_kafka(settings: KafkaSettings) -> Iterator[Finding]:
    """Whether Kafka answers; if so, what it holds."""
    started = perf_counter()
    try:
        with connected(KafkaAdminClient, settings, request_timeout_ms=REQUEST_TIMEOUT_MS) as admin:
            yield (answer := _answer(admin, settings, started))
            if answer.state == "ok":
                yield from _held(admin, settings)
                return
    except ConfigError as error:
        yield wrong("Kafka", str(error))  # it says what to do
    except BrokerUnavailable as error:
        yield wrong("Kafka", str(error), "start it; `freshet broker` is one to try out")
    yield not_checked("topics", "nor are the workers and the dead letters: Kafka comes first")


def check_replica(url: str, must_run: bool) -> Finding:
    """What a replica says of itself.

    Args:
        url: where it listens.
        must_run: whether it is wrong that nothing listens there.
    """
    try:
        told = httpx.get(f"{url.rstrip('/')}/health/ready", timeout=REPLICA_TIMEOUT_S).json()
        return _replica(url, told["ready"], told["stale"], told["lag_records"], told["holds"])
    except httpx.ConnectError as error:
        absent = wrong if must_run else not_checked
        return absent("replica", f"nothing answers at {url}: {error}", "freshet serve")
    except (httpx.InvalidURL, httpx.UnsupportedProtocol):
        return wrong("replica", f"{url!r} is no address", "--url http://HOST:PORT")
    except (httpx.HTTPError, ValueError, LookupError, TypeError, AttributeError):
        return wrong("replica", f"what listens at {url} is not Freshet, or hangs", "choose another FRESHET_PORT")


def _replica(url: str, ready: bool, stale: bool, lag: int, holds: dict[str, int]) -> Finding:
    state = f"{url}: lag {lag:,}; holds " + ", ".join(f"{count:,} {what}" for what, count in holds.items())
    if not ready:
        return wrong("replica", f"{state}; still reading the topics", "wait; if these numbers stand still, see its log")
    if stale:
        return wrong("replica", f"{state}; it cannot reach Kafka", "see to Kafka; the replica goes on by itself")
    return ok("replica", state)


def _answer(admin: Any, settings: KafkaSettings, started: float) -> Finding:  # noqa: ANN401 - kafka-python has no types
    """Whether the brokers answer too under the addresses that the first answer gave."""
    try:
        brokers = ", ".join(f"{one['host']}:{one['port']}" for one in admin.describe_cluster()["brokers"])
    except KafkaError as error:
        found = f"{settings.bootstrap_servers} answers, but not under the address that it gives for itself: {error}"
        return wrong("Kafka", found, "advertised.listeners in the broker's own settings")
    took_ms = 1000 * (perf_counter() - started)
    return ok("Kafka", f"{settings.bootstrap_servers} answered in {took_ms:.0f} ms; brokers: {brokers}")


def _held(admin: Any, settings: KafkaSettings) -> Iterator[Finding]:  # noqa: ANN401
    found = describe_topics(settings)
    yield _topics(settings, faults(specs_of(settings), found.partitions, found.configs, settings.partitions))
    for check, ask in (("workers", _workers), ("dead letters", _dead_letters)):
        try:
            yield ask(admin, settings, found.partitions)
        except KeyError as missing:
            yield not_checked(check, f"topic {missing.args[0]} is missing")
        except KafkaError as error:
            yield not_checked(check, f"not reported by this Kafka: {error}")


def _topics(settings: KafkaSettings, found: list[str]) -> Finding:
    if not found:
        return ok("topics", f"all {len(specs_of(settings))} are as they should be")
    remedy = REMEDY.removeprefix("run: ") if any("is missing" in fault for fault in found) else ""
    return wrong("topics", "; ".join(found), remedy)


def _workers(admin: Any, settings: KafkaSettings, partitions: Mapping[str, int]) -> Finding:  # noqa: ANN401
    group = settings.topic(STREAM_GROUP)
    committed = with_coordinator(admin.list_group_offsets, [group])[group]
    lags = {}
    for name in (INTERACTIONS, USERS, ITEMS):
        starts, ends = _bounds(admin, settings.topic(name), partitions)
        read = {one: max(starts[one], committed[one].offset if one in committed else 0) for one in ends}
        lags[name] = sum(max(0, ends[one] - read[one]) for one in ends)
    lag = sum(lags.values())
    waiting = f"{lag:,} records wait ({', '.join(f'{name} {number:,}' for name, number in lags.items())})"
    members = _members(settings, group)
    if members:
        return ok("workers", f"{members} in group {group}; {waiting}")
    if lag:
        return wrong("workers", f"none runs in group {group}; {waiting}", "freshet stream")
    return not_checked("workers", f"none runs in group {group}, and nothing waits", "freshet stream")


def _members(settings: KafkaSettings, group: str) -> int:
    with connected(KafkaAdminClient, settings, api_version=READABLE_API) as admin:
        return len(with_coordinator(admin.describe_groups, [group])[group]["members"])


def _dead_letters(admin: Any, settings: KafkaSettings, partitions: Mapping[str, int]) -> Finding:  # noqa: ANN401
    starts, ends = _bounds(admin, settings.topic(DEAD_LETTERS), partitions)
    count = sum(ends[one] - starts[one] for one in ends)
    if count:  # the embedded broker's ends are too low by what its last batches hold
        return ok("dead letters", f"{count:,} or more are kept", "freshet dead-letters count")
    return ok("dead letters", "none")


def _bounds(admin: Any, topic: str, partitions: Mapping[str, int]) -> tuple[dict[Any, int], dict[Any, int]]:  # noqa: ANN401
    places = [TopicPartition(topic, one) for one in range(partitions[topic])]
    starts, ends = (
        {place: at.offset for place, at in admin.list_partition_offsets(dict.fromkeys(places, spec)).items()}
        for spec in (OffsetSpec.EARLIEST, OffsetSpec.LATEST)
    )
    return starts, ends

"""The part of `freshet doctor` that asks Kafka and the replica."""

from collections.abc import Iterator, Mapping
from time import monotonic, perf_counter, sleep
from typing import Any

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from urllib3 import request
from urllib3.exceptions import HTTPError, LocationValueError, NewConnectionError

from cli.findings import Finding, not_checked, ok, wrong
from cli.kafka_clients import connected, with_coordinator
from domain.clock import system_clock
from domain.errors import BrokerUnavailable, ConfigError
from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS, STREAM_GROUP, faults
from stream.backlog import READ_TOPICS, Backlogs, backlogs, bounds, oldest_waiting
from stream.topic_admin import REMEDY, describe_topics, specs_of

READABLE_API = (2, 2)
"""The Kafka version to speak when asking for a group's members: the embedded broker's answer to a newer
question has a field that kafka-python 3.0.12 cannot read. Apache Kafka 4 speaks it as well."""

REQUEST_TIMEOUT_MS = 5_000
REPLICA_TIMEOUT_S = 3.0

LONG_S = 10.0
"""A record that waits longer than this makes one look whether the workers get on."""

LOOK_S = 5.0
"""For how long; a worker commits every FRESHET_COMMIT_INTERVAL_S."""

ALARMING_SHARE = 0.01
"""Of the records of the last hour; the alert FreshetDeadLetters has the same."""


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
    if not url.startswith(("http://", "https://")):
        return wrong("replica", f"{url!r} is no address", "--url http://HOST:PORT")
    try:
        told = request("GET", f"{url.rstrip('/')}/health/ready", timeout=REPLICA_TIMEOUT_S, retries=False).json()
        return _replica(url, told)
    except NewConnectionError as error:
        absent = wrong if must_run else not_checked
        return absent("replica", f"nothing answers at {url}: {error}", "freshet serve")
    except LocationValueError:
        return wrong("replica", f"{url!r} is no address", "--url http://HOST:PORT")
    except (HTTPError, ValueError, LookupError, TypeError, AttributeError):
        return wrong("replica", f"what listens at {url} is not Freshet, or hangs", "choose another FRESHET_PORT")


def _replica(url: str, told: dict[str, Any]) -> Finding:
    holds = ", ".join(f"{count:,} {what}" for what, count in told["holds"].items())
    state = f"{url}: lag {told['lag_records']:,}; holds {holds}"
    if not told["ready"]:
        return wrong("replica", f"{state}; still reading the topics", "wait; if these numbers stand still, see its log")
    if told["stale"]:
        return wrong(
            "replica",
            f"{state}; it cannot reach Kafka for {told['unheard_s']:,.0f} s",
            "see to Kafka; the replica goes on by itself",
        )
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
    counts = {name: partitions[settings.topic(name)] for name in READ_TOPICS}
    found = with_coordinator(backlogs, admin, settings, counts)
    lags = {name: sum(one.records for at, one in found.items() if at.topic == settings.topic(name)) for name in counts}
    lag = sum(lags.values())
    told = f"{lag:,} records wait ({', '.join(f'{name} {number:,}' for name, number in lags.items())})"
    waiting = oldest_waiting(settings, found)
    if waiting:
        oldest = min(waiting, key=lambda one: one.arrived_ms)
        waits_s = max(0.0, (system_clock() - oldest.arrived_ms) / 1000)
        told += f", the oldest for {waits_s:,.0f} s at {oldest.topic}/{oldest.partition}@{oldest.offset}"
    members = _members(settings, group)
    if members and waiting and waits_s > LONG_S and not _moves(admin, settings, counts, found):
        remedy = "look again in a minute, as new items take long to embed; then see the workers' logs"
        return wrong("workers", f"{members} in group {group}; {told}; nothing was committed for {LOOK_S:g} s", remedy)
    if members:
        return ok("workers", f"{members} in group {group}; {told}")
    if lag:
        return wrong("workers", f"none runs in group {group}; {told}", "freshet stream")
    return not_checked("workers", f"none runs in group {group}, and nothing waits", "freshet stream")


def _moves(admin: Any, settings: KafkaSettings, counts: Mapping[str, int], before: Backlogs) -> bool:  # noqa: ANN401
    """Whether the workers commit anything while one looks."""
    deadline = monotonic() + LOOK_S
    while monotonic() < deadline:
        if any(now.read != before[place].read for place, now in backlogs(admin, settings, counts).items()):
            return True
        sleep(0.2)
    return False


def _members(settings: KafkaSettings, group: str) -> int:
    with connected(KafkaAdminClient, settings, api_version=READABLE_API) as admin:
        return len(with_coordinator(admin.describe_groups, [group])[group]["members"])


def _dead_letters(admin: Any, settings: KafkaSettings, partitions: Mapping[str, int]) -> Finding:  # noqa: ANN401
    topic = settings.topic(DEAD_LETTERS)
    letters = [TopicPartition(topic, one) for one in range(partitions[topic])]
    starts, ends = bounds(admin, letters)
    kept = sum(ends[one] - starts[one] for one in ends)
    if not kept:
        return ok("dead letters", "none")
    read = [
        TopicPartition(settings.topic(name), one)
        for name in READ_TOPICS
        for one in range(partitions[settings.topic(name)])
    ]
    newly, records = (_of_the_last_hour(admin, places) for places in (letters, read))
    told = f"{kept:,} or more are kept"  # the embedded broker's ends are too low by what its last batches hold
    if records:
        told += f"; of the last hour {newly:,}, {newly / records:.1%} of {records:,} records"
    if records and newly / records > ALARMING_SHARE:
        return wrong("dead letters", told, "freshet dead-letters count, then list")
    return ok("dead letters", told, "freshet dead-letters count")


def _of_the_last_hour(admin: Any, places: list[TopicPartition]) -> int:  # noqa: ANN401
    """How many records came within the last hour, about: the embedded broker counts older ones as well."""
    since = admin.list_partition_offsets(dict.fromkeys(places, system_clock() - 3_600_000))
    _, ends = bounds(admin, places)
    return sum(ends[place] - at.offset for place, at in since.items() if at.offset is not None and at.offset >= 0)

"""What a broken producer sends, through a real broker and a real worker: it lives, and nothing disappears.

The in-process twin, with a hundred thousand records, is tests/functional/test_fuzzed_records.py.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaProducer
from kafka.consumer.fetcher import ConsumerRecord
from typer.testing import CliRunner

from cli.broker import free_port
from cli.main import build
from cli.replaying import Marks
from domain.codecs import unpack
from domain.interactions import Interaction, InteractionType
from domain.items import Item
from domain.log_reader import LogRecord
from domain.profile import Profile
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import DEAD_LETTERS, INTERACTIONS, ITEM_EMBEDDINGS, ITEMS, MARK_HEADER, TOPICS, USER_PROFILES, USERS
from stream.topic_admin import create_topics
from tests.builders import START_MS
from tests.conftest import ONE_BROKER
from tests.hostile_records import hostile_records
from tests.integration.test_emitter import read_topic
from tests.system import System

SENT = {INTERACTIONS: 2_000, USERS: 1_000, ITEMS: 1_000}
COMPACTED = {spec.name for spec in TOPICS if spec.cleanup_policy == "compact"}
TAKE_ALL = {"dead_letter_max_share": 1, "dead_letter_max_in_a_row": 0}
KNOWING_SHARES = {"interaction_types": '{"share": {"weight": 2}}'}


def send(settings: KafkaSettings, records: Sequence[LogRecord]) -> None:
    """Puts raw records into their partitions; a compacted topic takes none without a key, so it gets an empty one."""
    asyncio.run(_sent(settings, records))


async def _sent(settings: KafkaSettings, records: Sequence[LogRecord]) -> None:
    async with AIOKafkaProducer(**settings.kafka_options(), acks="all", max_request_size=2 * 1_048_576) as producer:
        for one in records:
            batch = producer.create_batch()  # unlike `send`, it takes a record with neither key nor value
            key = b"" if one.key is None and one.topic in COMPACTED else one.key
            timestamp = one.timestamp if 0 <= one.timestamp <= START_MS else 0  # brokers refuse others
            assert batch.append(timestamp=timestamp, key=key, value=one.value, headers=list(one.headers))
            await (await producer.send_batch(batch, settings.topic(one.topic), partition=one.partition))


def letters(system: System) -> list[ConsumerRecord]:
    """The dead letters, without the marks of replays."""
    return [one for one in read_topic(system.settings, DEAD_LETTERS) if one.headers[0][0] != MARK_HEADER]


def dead(system: System) -> Counter[tuple[str, int, int]]:
    """The dead letters by topic, partition and offset of what they hold."""
    headers = [dict(one.headers) for one in letters(system)]
    return Counter((one["topic"].decode(), int(one["partition"]), int(one["offset"])) for one in headers)


def applied(port: int) -> float:
    """Interactions that the worker has applied, as it counts them."""
    told = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in told if line.startswith("freshet_stream_interactions_total{"))


def is_caught_up(system: System) -> bool:
    """Whether every user's profile reflects the last record of that user."""
    profiles = {one.key: unpack(one.value, Profile) for one in read_topic(system.settings, USER_PROFILES)}
    last = {one.key: one.offset for one in read_topic(system.settings, INTERACTIONS)}
    return all(user in profiles and profiles[user].position >= at for user, at in last.items())


def click(user: str, at: int, kind: str = "click") -> Interaction:
    return Interaction(event_id=f"{user}-{at}", type=kind, user_id=user, item_id=f"i{at % 7}", event_time=START_MS + at)


@ONE_BROKER
def test_a_worker_lives_through_thousands_of_hostile_records_and_keeps_each_it_cannot_use(system: System) -> None:
    rng = random.Random(7)
    for topic, number in SENT.items():
        send(system.settings, hostile_records(topic, rng, number, partition=1))
    send(system.settings, [LogRecord(INTERACTIONS, 1, 0, START_MS, None, None, [("reason", None)])])
    worker = system.start_worker(worker_metrics_port=(port := free_port()), **TAKE_ALL)
    system.start_replica(search=False)
    system.send_items([Item(item_id="last", title="The last one")])
    system.until(lambda: b"last" in {one.key for one in read_topic(system.settings, ITEM_EMBEDDINGS)})
    system.learned(system.send([click("ann", 1)]))
    assert worker.status() is None  # the same process all along

    def all_are_counted() -> bool:
        refused = sum(topic.endswith(INTERACTIONS) for topic, _, _ in dead(system))
        return applied(port) + refused == len(read_topic(system.settings, INTERACTIONS))  # merges send some again

    system.until(all_are_counted)
    held: dict[tuple[str, int, int], tuple[bytes | None, bytes | None]] = {
        (one.topic, one.partition, one.offset): (one.key, one.value)
        for topic in SENT
        for one in read_topic(system.settings, topic)
    }
    assert len(held) > sum(SENT.values())
    for letter in letters(system):
        told = dict(letter.headers)
        assert held[told["topic"].decode(), int(told["partition"]), int(told["offset"])] == (letter.key, letter.value)
        assert told["reason"] and told["detail"]
    assert set(dead(system).values()) == {1}
    by_topic = Counter(topic for topic, _, _ in dead(system))
    assert all(by_topic[system.settings.topic(one)] > SENT[one] / 5 for one in SENT), by_topic


def test_what_producers_compress_is_read_by_workers_and_commands(system: System) -> None:
    async def put(codec: str) -> None:
        producer = AIOKafkaProducer(**system.settings.kafka_options(), compression_type=codec)
        await producer.start()
        for value in (msgspec.json.encode(click("ann", 1)), b"{not json " * 50):
            await producer.send_and_wait(system.settings.topic(INTERACTIONS), value, key=b"ann")
        await producer.stop()

    codecs = ("gzip", "snappy", "lz4", "zstd")
    for codec in codecs:
        asyncio.run(put(codec))
    system.start_worker()
    system.until(lambda: len(dead(system)) == len(codecs))
    assert len(read_topic(system.settings, INTERACTIONS)) == 2 * len(codecs)  # with kafka-python, as the commands do


@ONE_BROKER
def test_a_flood_of_refused_records_stops_the_worker_before_any_of_them_is_written_or_committed(
    system: System,
) -> None:
    send(system.settings, [LogRecord(INTERACTIONS, 1, 0, START_MS, b"ann", b"{not json %d" % n) for n in range(300)])
    worker = system.start_worker()
    system.until(lambda: worker.status() is not None)
    assert worker.status() == 70
    assert "records of " in worker.last_words() and "FRESHET_DEAD_LETTER_MAX_IN_A_ROW=200" in worker.last_words()
    assert "Traceback" not in worker.last_words()
    assert not dead(system)
    system.start_worker(**TAKE_ALL)
    system.until(lambda: len(dead(system)) == 300)


@pytest.fixture
def twin(settings: KafkaSettings, overrides: dict[str, object], tmp_path: Path) -> Iterator[System]:
    """A second deployment on the same broker."""
    other: dict[str, object] = {**overrides, "topic_prefix": f"{settings.topic_prefix}twin-"}
    create_topics(load_settings(KafkaSettings, **other))
    running = System(load_settings(ServingSettings, **other), other, tmp_path)
    yield running
    running.close()


@ONE_BROKER
def test_letters_replayed_after_a_fix_leave_no_trace_even_if_they_are_replayed_twice(
    system: System, twin: System, overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    clicks = [click(f"u{n % 5}", n) for n in range(100)]
    shares = [click(f"u{n % 5}", n, "share") for n in range(100, 140)]
    for one in (system, twin):  # producers know the type before the workers do
        one.settings = one.settings.model_copy(update={"interaction_types": {"share": InteractionType(weight=2)}})
    broken = system.start_worker()
    system.send([*clicks[:50], *shares, *clicks[50:]])
    system.until(lambda: len(dead(system)) == len(shares))
    broken.stop()
    system.start_worker(**KNOWING_SHARES)

    for name, value in overrides.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))
    replay: Callable[[], str] = lambda: CliRunner().invoke(build(), ["dead-letters", "replay"]).output  # noqa: E731
    assert "40 letters sent to interactions: 40 unknown_type" in replay()
    monkeypatch.setattr(Marks, "passed", lambda *_: False)
    assert "40 letters sent to interactions: 40 unknown_type" in replay()

    twin.start_worker(**KNOWING_SHARES)
    twin.send([*clicks, *shares])  # the same events where nothing was ever refused
    for one in (system, twin):
        one.until(lambda: is_caught_up(one))  # noqa: B023
    assert len(read_topic(system.settings, INTERACTIONS)) == len(clicks) + 3 * len(shares)
    assert system.hashes() == twin.hashes()
    assert len(dead(system)) == len(shares)

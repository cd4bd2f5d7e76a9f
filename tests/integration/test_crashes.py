"""Processes that crash, stop and come back as zombies, on a real broker: the state is that of a calm run."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.consumer.fetcher import ConsumerRecord

from domain.clock import system_clock
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import ITEM_SIGNALS, USER_PROFILES
from stream.outbox import EXIT_BROKEN
from stream.topic_admin import create_topics
from tests.conftest import ONE_BROKER
from tests.feeding import Feed, as_producers_send, changes_of, log_of
from tests.havoc import Havoc, calm_hashes, compacted_hashes, hashes_under_fire
from tests.integration.test_emitter import read_topic
from tests.system import QuickSystem, System

Opener = Callable[[str], System]

SEED = 11
KILLS = 3


@pytest.fixture
def opened(overrides: dict[str, object], tmp_path: Path) -> Iterator[Opener]:
    """Opens systems side by side, each on topics of its own."""
    systems: list[System] = []

    def opened(name: str) -> System:
        own = {**overrides, "topic_prefix": f"{overrides['topic_prefix']}{name}-"}
        settings = load_settings(ServingSettings, **own)
        create_topics(settings)
        (tmp_path / name).mkdir()
        systems.append(QuickSystem(settings, own, tmp_path / name))
        return systems[-1]

    yield opened
    for one in systems:
        one.close()


def send_records(settings: KafkaSettings, name: str, records: Iterable[ConsumerRecord]) -> None:
    """Sends records once more, into their own partitions."""
    producer = KafkaProducer(**settings.kafka_options())
    for one in records:
        producer.send(settings.topic(name), key=one.key, value=one.value, partition=one.partition)
    producer.flush(30)
    producer.close()


@ONE_BROKER
def test_whatever_is_killed_while_a_log_flows_the_state_is_that_of_a_calm_run(opened: Opener):
    now_ms = system_clock()
    log, changes = log_of(SEED, 2_000, now_ms), changes_of(SEED, now_ms)
    calm, changed = calm_hashes(opened("calm"), log, changes)
    assert calm["user-profiles"] != changed["user-profiles"]
    system = opened("fire")
    havoc = Havoc(system, SEED)
    feed = Feed(system, as_producers_send(log, SEED), per_second=100)
    found = hashes_under_fire(system, havoc, feed, KILLS, calm)
    assert found == dict.fromkeys(("topics", "replica", "compacted"), calm)
    found = hashes_under_fire(system, havoc, Feed(system, changes), 1, changed, longest_s=0.1)
    assert found == dict.fromkeys(("topics", "replica", "compacted"), changed)
    havoc.check_learner(len(log))


@ONE_BROKER
def test_a_worker_stopped_past_its_session_comes_back_and_overwrites_nothing(opened: Opener):
    log = log_of(7, 6_000, system_clock())
    calm, _ = calm_hashes(opened("calm"), log)
    system = opened("zombie")
    zombie = system.start_worker()
    Feed(system, log[:100]).drain()
    feed = Feed(system, as_producers_send(log[100:], 7))
    before = len(read_topic(system.settings, USER_PROFILES))
    system.until(lambda: len(read_topic(system.settings, USER_PROFILES)) > before)
    os.kill(zombie.pid, signal.SIGSTOP)
    system.start_worker()
    feed.drain()
    os.kill(zombie.pid, signal.SIGCONT)
    system.until(lambda: zombie.status() is not None)
    assert zombie.status() == EXIT_BROKEN and "given this worker's partitions away" in zombie.last_words()
    assert system.hashes() == calm
    assert compacted_hashes(system) == calm


@ONE_BROKER
def test_an_older_value_above_a_newer_one_is_mended_by_whoever_takes_the_partition_over(opened: Opener):
    system = opened("late")
    log = log_of(8, 1_000, system_clock())
    worker = system.start_worker()
    for part in (log[:500], log[500:]):  # so that keys have more than one value
        Feed(system, part).drain()
    worker.stop()
    calm = system.hashes()
    for name in (ITEM_SIGNALS, USER_PROFILES):  # each key's first value once more, as a zombie's write that comes late
        records = read_topic(system.settings, name)
        first = {(one.partition, one.key): one for one in reversed(records)}.values()
        send_records(system.settings, name, first)
    assert system.hashes() == calm, "readers refuse it"
    assert compacted_hashes(system) != calm, "but Kafka would keep it"
    system.start_worker()
    system.until(lambda: compacted_hashes(system) == calm)
    assert system.hashes() == calm

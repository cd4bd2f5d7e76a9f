"""Replicas that start from their snapshot, on real brokers: what they come to is what the topics say."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from domain.items import Item
from domain.settings import KafkaSettings, load_settings
from freshet import Client
from stream.topic_admin import create_topics
from tests.apache_kafka import ApacheKafka, apache_kafka
from tests.conftest import KAFKA_HOME
from tests.integration.test_system import click
from tests.system import System

ITEMS = [Item(item_id=f"i{n}", title=f"Item {n} about trains", published_at=1) for n in range(5)]
STARTED = "started from the snapshot"


def told(system: System) -> dict:
    return httpx.get(f"{system.url}/health/ready").json()


@pytest.mark.long  # test_following.py says the same of replicas in one process
def test_a_killed_replica_goes_on_from_its_snapshot_to_the_state_of_the_topics(system: System, tmp_path: Path):
    folder = tmp_path / "snapshot"
    system.start_worker()
    first = system.start_replica(search=False, snapshot_path=str(folder), snapshot_every_s=1)
    system.send_items(ITEMS)
    system.learned(system.send([click("ann", "i0"), click("ann", "i1"), click("ben", "i1")]))
    system.embedded(len(ITEMS))
    system.until(lambda: first.log_path.read_text().count("snapshot of") >= 2)
    system.learned(system.send([click("ann", "i2"), click("cid", "i3")]))
    first.kill()
    system.send_items([Item(item_id="late", title="An item that came while nobody looked")])
    again = system.start_replica(search=False, snapshot_path=str(folder))
    system.embedded(len(ITEMS) + 1)
    assert STARTED in again.log_path.read_text() and "given up" not in again.log_path.read_text()
    assert system.replica_hashes() == system.hashes()


def system_on(bootstrap_servers: str, folder: Path) -> System:
    overrides: dict[str, object] = {"bootstrap_servers": bootstrap_servers, "partitions": 2, "fetch_max_wait_ms": 50}
    settings = load_settings(KafkaSettings, **overrides)
    create_topics(settings)
    return System(settings, overrides, folder)


@pytest.fixture
def node() -> Iterator[ApacheKafka]:
    if not KAFKA_HOME:
        pytest.skip("KAFKA_HOME does not name an unpacked Apache Kafka")
    with apache_kafka(Path(KAFKA_HOME)) as node:
        yield node


def test_without_kafka_a_replica_starts_from_its_snapshot_and_catches_up_by_itself(node: ApacheKafka, tmp_path: Path):
    folder = tmp_path / "snapshot"
    system = system_on(node.bootstrap_servers, tmp_path)
    try:
        system.start_worker()
        first = system.start_replica(search=False, snapshot_path=str(folder))
        system.send_items(ITEMS)
        system.learned(system.send([click("ann", "i0")]))
        system.embedded(len(ITEMS))
        with Client(system.url) as client:
            before = client.recommend("ann")
        first.stop()
        node.kill()
        system.start_replica(wait=False, search=False, snapshot_path=str(folder))
        system.until(system.is_live)
        system.until(lambda: told(system)["holds"]["vectors"] == len(ITEMS))
        assert (told(system)["ready"], told(system)["stale"]) == (False, True)
        with Client(system.url) as client:
            slate = client.recommend("ann")
        assert slate.stale and slate.profile.interactions == 1
        assert [one.item_id for one in slate.items] == [one.item_id for one in before.items]
        node.start()
        system.until(system.is_ready)
        system.learned(system.send([click("ann", "i1"), click("ben", "i2")]))
        assert told(system)["stale"] is False
        assert system.replica_hashes() == system.hashes()
    finally:
        system.close()

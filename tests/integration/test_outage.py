"""Kafka goes away under a running replica: it answers from memory, says so, and takes no event it cannot keep."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli.broker import EmbeddedBroker
from domain.items import Item
from domain.settings import KafkaSettings, load_settings
from freshet import Client
from stream.topic_admin import create_topics
from tests.integration.test_system import click
from tests.system import System

ITEMS = [Item(item_id=f"i{n}", title=f"Item {n} about trains", published_at=1) for n in range(5)]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def system(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[System]:
    overrides: dict[str, object] = {
        "bootstrap_servers": broker.bootstrap_servers,
        "partitions": 2,
        "fetch_max_wait_ms": 5,
    }
    settings = load_settings(KafkaSettings, **overrides)
    create_topics(settings)
    running = System(settings, overrides, tmp_path)
    yield running
    running.close()


def test_a_replica_outlives_its_broker_and_says_that_it_is_stale(broker: EmbeddedBroker, system: System):
    system.start_worker()
    system.start_replica(intake_timeout_ms=500, search=False)
    system.send_items(ITEMS)
    system.learned(system.send([click("ann", "i0")]))
    system.embedded(len(ITEMS))
    with Client(system.url, retries=0) as client:
        before = client.recommend("ann")
        assert not before.stale
        broker.close()
        system.until(lambda: client.recommend("ann").stale, 15)
        after = client.recommend("ann")
        assert [one.item_id for one in after.items] == [one.item_id for one in before.items]
        assert httpx.get(f"{system.url}/health/ready").json()["ready"] is True
        body = {"event_id": "e", "type": "click", "user_id": "ann", "item_id": "i1", "event_time": 1}
        refused = httpx.post(f"{system.url}/v1/events", json=body)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.headers["retry-after"] and "within 0.5 s" in refused.json()["detail"]

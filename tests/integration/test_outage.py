"""Kafka goes away under a running replica: it answers from memory, says so, and takes no event it cannot keep."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import msgspec
import pytest

from cli.broker import EmbeddedBroker
from domain.clock import system_clock
from domain.errors import BrokerUnavailable
from domain.items import Item
from domain.positions import from_token
from domain.settings import KafkaSettings, load_settings
from domain.topics import INTERACTIONS
from freshet import Client, Emitter, producer
from stream.topic_admin import create_topics
from tests.apache_kafka import ApacheKafka, apache_kafka
from tests.conftest import KAFKA_HOME
from tests.integration.test_emitter import read_topic
from tests.integration.test_system import click
from tests.system import System, system_at

ITEMS = [Item(item_id=f"i{n}", title=f"Item {n} about trains", published_at=1) for n in range(5)]


@pytest.fixture
def broker() -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker() as running:
        yield running


@pytest.fixture
def system(broker: EmbeddedBroker, tmp_path: Path) -> Iterator[System]:
    with system_at(broker.bootstrap_servers, tmp_path) as running:
        yield running


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
        assert httpx.post(f"{system.url}/v1/events", json=[{"type": "?"}, body]).status_code == 503


class Senders:
    """Programs that send batches of events over HTTP, one after another, and note what they were told."""

    def __init__(self, url: str, count: int = 4, together: int = 20) -> None:
        self._url, self._together = url, together
        self._ending = threading.Event()
        self.accepted: dict[str, str] = {}  # token by event id
        self.refusals: list[tuple[str, str]] = []  # Retry-After and detail of each 503
        self.others: list[str] = []
        self._threads = [threading.Thread(target=self._send, args=(number,)) for number in range(count)]

    def __enter__(self) -> "Senders":
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        for one in self._threads:
            one.join()

    def _send(self, number: int) -> None:
        batch = 0
        with httpx.Client(base_url=self._url, timeout=30) as client:
            while not self._ending.wait(0.01):
                batch += 1
                ids = [f"{number}-{batch}-{one}" for one in range(self._together)]
                fields = {"type": "click", "item_id": "i0", "event_time": system_clock()}
                events = [{"event_id": one, "user_id": f"user-{one}", **fields} for one in ids]
                answer = client.post("/v1/events", json=events)
                if answer.status_code == 503:
                    self.refusals.append((answer.headers["retry-after"], answer.json()["detail"]))
                elif answer.status_code == 200:
                    told = zip(ids, answer.json()["results"], strict=True)
                    self.accepted |= {one: entry["token"] for one, entry in told if entry["accepted"]}
                else:
                    self.others.append(answer.text)


@pytest.fixture
def node() -> Iterator[ApacheKafka]:
    if not KAFKA_HOME:
        pytest.skip("KAFKA_HOME does not name an unpacked Apache Kafka")
    with apache_kafka(Path(KAFKA_HOME)) as node:
        yield node


def fill(emitter: Emitter) -> list[str]:
    """Emits until the emitter takes no more, and returns the ids that it took."""
    taken = []
    with pytest.raises(BrokerUnavailable, match="100 records wait"):
        for number in range(1000):
            emitter.emit(msgspec.structs.replace(click("ann", "i1"), event_id=f"waits-{number}"))
            taken.append(f"waits-{number}")
    return taken


def test_over_a_crash_of_kafka_nothing_that_was_accepted_is_lost(
    node: ApacheKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Over HTTP, accepted means: it is where the token says. With an emitter: `flush` returns, and nothing was lost."""
    overrides: dict[str, object] = {"bootstrap_servers": node.bootstrap_servers, "partitions": 2}
    settings = load_settings(KafkaSettings, **overrides)
    create_topics(settings)
    monkeypatch.setattr(producer, "MAX_PENDING", 100)
    system = System(settings, overrides, tmp_path)
    try:
        system.start_replica(search=False, intake_timeout_ms=300, intake_buffer_bytes=16_384)
        with Emitter(settings) as emitter, Senders(system.url) as senders:
            emitter.emit(click("ann", "i0")).position()
            system.until(lambda: len(senders.accepted) >= 200)
            monkeypatch.setattr(producer, "BLOCK_MS", 300)
            node.kill()
            taken = fill(emitter)
            system.until(lambda: any("no more are taken" in detail for _, detail in senders.refusals))
            before = len(senders.accepted)
            node.start()
            emitter.flush(60)
            system.until(lambda: len(senders.accepted) >= before + 200)
        assert not senders.others and all(wait == "1" for wait, _ in senders.refusals)
        records = read_topic(settings, INTERACTIONS)
        ids = {(record.partition, record.offset): json.loads(record.value)["event_id"] for record in records}
        for event_id, token in senders.accepted.items():
            position = from_token(token)
            assert ids[position.partition, position.offset] == event_id
        assert emitter.lost == 0 and len(taken) == 100
        assert [list(ids.values()).count(event_id) for event_id in taken] == [1] * 100
    finally:
        system.close()

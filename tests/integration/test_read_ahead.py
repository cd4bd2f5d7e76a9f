"""A replica reflects a click that no worker has dealt with, over a real broker."""

from threading import Event

import httpx
import msgspec
import pytest
from aiokafka import AIOKafkaConsumer
from prometheus_client import REGISTRY

from cli.broker import EmbeddedBroker, free_port
from domain.items import Item
from domain.log_reader import LogRecord, reader_options
from domain.positions import Position, to_token
from domain.profile import Profile
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import INTERACTIONS
from embeddings.exact_index import ExactIndex
from freshet import Client, Emitter
from freshet.producer import Producer
from serving import read_ahead
from serving.follower import Follower
from serving.read_ahead import ReadAhead
from serving.read_model import ReadModel
from stream.topic_admin import create_topics
from tests.builders import interaction, log_of
from tests.integration.test_models import Loop, until
from tests.integration.test_system import click
from tests.system import System

ITEMS = [Item(item_id=f"i{n}", title=f"Item {n} about trains", published_at=1) for n in range(8)]


class Replica:
    """A follower, a reader of what comes, and what both feed, in this process."""

    def __init__(self, loop: Loop, overrides: dict[str, object]) -> None:
        settings = load_settings(ServingSettings, **overrides)
        self.model = ReadModel(settings, ExactIndex(384))
        self.follower = Follower(settings, self.model)
        self.ahead = ReadAhead(settings, self.model, self.follower.ready)
        loop.followers += [self.ahead, self.follower]
        loop.do(self.follower.start())
        loop.do(self.ahead.start())

    def knows(self, user: str) -> list[str]:
        return [one.event_id for one in (self.model.profile(user) or Profile()).touches]


def reads_ahead() -> bool:
    return REGISTRY.get_sample_value("freshet_replica_reads_ahead") == 1


def send(settings: KafkaSettings, user: str, *events: str) -> int:
    """Returns the partition."""
    producer = Producer(settings, 0, None)
    for at, one in enumerate(events):
        made = interaction(user, f"i{at}", at, event_id=one)
        sent = producer.send(settings.topic(INTERACTIONS), user, msgspec.json.encode(made))
    producer.close(30)
    return sent.position(10).partition


def test_a_slate_reflects_a_click_while_no_worker_runs_and_the_worker_comes_to_the_same(system: System):
    worker = system.start_worker()
    system.start_replica(search=False)
    system.send_items(ITEMS)
    system.embedded(len(ITEMS))
    system.learned(system.send([click("ann", "i0"), click("ben", "i1")]))
    worker.stop()
    with Client(system.url) as client, Emitter(system.settings) as emitter:
        for user, chosen, count in (("ann", "i2", 2), ("new", "i3", 1), ("ann", "i4", 3)):
            token = emitter.emit(click(user, chosen)).token()
            slate = client.recommend(user, after=token, wait_ms=2000)
            assert slate.fresh and slate.profile.interactions == count and slate.fallback is None
            assert chosen not in [one.item_id for one in slate.items]
        before = {user: client.profile(user) for user in ("ann", "ben", "new")}
        assert [one.item_id for one in before["ann"].history] == ["i4", "i2", "i0"]
        assert set(system.written()) == {"ann", "ben"}
        written = httpx.get(f"{system.url}/v1/state/hash").json()
        assert written == system.hashes()  # what was read ahead is no part of it
        system.start_worker()
        system.until(lambda: system.written().keys() == before.keys())
        system.learned(system.send([click("ben", "i5")]))
        assert {user: client.profile(user) for user in ("ann", "new")} == {
            user: before[user] for user in ("ann", "new")
        }


def test_a_replica_that_does_not_read_ahead_waits_for_the_worker(system: System):
    system.start_replica(search=False, read_ahead=False)
    positions = system.send([click("ann", "i0")])
    with Client(system.url) as client:
        slate = client.recommend("ann", after=to_token(positions["ann"]), wait_ms=300)
        assert not slate.fresh and slate.profile.interactions == 0


def test_what_waited_for_workers_at_its_start_is_read_as_well(
    loop: Loop, settings: KafkaSettings, overrides: dict[str, object]
):
    send(settings, "ann", "e1", "e2")
    replica = Replica(loop, overrides)
    until(reads_ahead)
    send(settings, "ann", "e3")
    until(lambda: sorted(replica.knows("ann")) == ["e1", "e2", "e3"])
    partition = send(settings, "ann", "e4")
    until(lambda: replica.model.pending.reflects("ann", Position(partition, 3)))


@pytest.mark.parametrize("at_once", [1, 8_388_608])
def test_who_falls_far_behind_goes_on_near_the_end(
    loop: Loop,
    settings: KafkaSettings,
    overrides: dict[str, object],
    monkeypatch: pytest.MonkeyPatch,
    at_once: int,
):
    monkeypatch.setattr(read_ahead, "FAR", 50)
    options = reader_options(settings) | {"max_partition_fetch_bytes": at_once}
    monkeypatch.setattr(read_ahead, "new_consumer", lambda _: AIOKafkaConsumer(**options))
    replica, seen, sent = Replica(loop, overrides), [], Event()
    take = replica.model.pending.take

    def slowly(record: LogRecord) -> str | None:
        seen.append(record.offset)
        sent.wait(30)
        return take(record)

    monkeypatch.setattr(replica.model.pending, "take", slowly)
    until(reads_ahead)
    send(settings, "ann", "first")
    until(lambda: bool(seen))
    partition = send(settings, "ann", *(f"e{n}" for n in range(200)))
    sent.set()
    until(lambda: seen[-1] == 200)
    until(lambda: sees(settings, replica, "last"))
    assert seen[0] == 0 and seen[1] == 151  # what lies between was not read
    assert not replica.model.pending.reflects("ann", Position(partition, 200))


def test_it_goes_on_after_the_broker_was_away(loop: Loop):
    port = free_port()
    overrides: dict[str, object] = {
        "bootstrap_servers": f"127.0.0.1:{port}",
        "partitions": 2,
        "fetch_max_wait_ms": 5,
    }
    settings = load_settings(KafkaSettings, **overrides)
    with EmbeddedBroker(port):
        create_topics(settings)
        replica = Replica(loop, overrides)
        until(reads_ahead)
        send(settings, "ann", "e1", "e2")
        until(lambda: replica.knows("ann") == ["e1", "e2"])
    with EmbeddedBroker(port):  # it forgets all: another log
        create_topics(settings)
        until(lambda: sees(settings, replica, "f1") and "e1" not in replica.knows("ann"))


def sees(settings: KafkaSettings, replica: Replica, event: str) -> bool:
    send(settings, "ann", event)
    return event in replica.knows("ann")


def test_after_a_lost_connection_it_goes_on_where_it_was(
    loop: Loop, settings: KafkaSettings, overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch
):
    replica, seen = Replica(loop, overrides), []
    take = replica.model.pending.take

    def failing(record: LogRecord) -> str | None:
        seen.append(record.offset)
        if len(seen) == 2:
            raise OSError("the connection is gone")
        return take(record)

    until(reads_ahead)
    monkeypatch.setattr(replica.model.pending, "take", failing)
    for one in ("e1", "e2", "e3"):
        partition = send(settings, "ann", one)
    until(lambda: sorted(replica.knows("ann")) == ["e1", "e2", "e3"])
    assert seen[:3] == [0, 1, 1] and replica.model.pending.reflects("ann", Position(partition, 2))


def test_a_model_that_forgets_all_forgets_what_was_read_ahead():
    model = ReadModel(load_settings(ServingSettings), ExactIndex(384))
    model.apply_ahead(log_of([interaction("ann", "i1")]))
    assert model.profile("ann") is not None and model.pending.reflects("ann", Position(0, 0))
    model.clear()
    assert model.profile("ann") is None and not model.pending.reflects("ann", Position(0, 0))

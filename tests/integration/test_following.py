"""Replicas that go on, in this process, beside an embedded broker that comes, goes, and comes back as another."""

import asyncio
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from cli.broker import EmbeddedBroker, free_port
from cli.judging.world import World
from cli.state import hashes_of_topics
from domain.clock import system_clock
from domain.codecs import pack
from domain.items import Item
from domain.profile import Profile
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, USER_PROFILES
from embeddings.exact_index import ExactIndex
from freshet import Emitter
from freshet.producer import Producer
from learning.signals import ItemSignals
from learning.signals_record import pack_share
from serving import follower, links
from serving.follower import Follower
from serving.read_model import ReadModel, summary
from serving.snapshot.snapshots import Snapshots
from serving.state_hash import state_hashes
from stream.topic_admin import create_topics
from tests.builders import interaction
from tests.integration.test_models import Loop, until

D = 384


class Replica:
    """A follower and what it feeds; its clock can be set forward."""

    def __init__(self, loop: Loop, where: int | dict[str, object], folder: Path, **more: object) -> None:
        self._loop = loop
        self.ahead_ms = 0
        if isinstance(where, int):
            where = {"bootstrap_servers": f"127.0.0.1:{where}", "fetch_max_wait_ms": 5}
        settings = load_settings(ServingSettings, **where, snapshot_path=str(folder), **more)
        self.model = ReadModel(settings, ExactIndex(D))
        self.follower = Follower(settings, self.model, Snapshots(settings, self.model, self._clock), self._clock)
        loop.followers.append(self.follower)
        loop.do(self.follower.start())

    def _clock(self) -> int:
        return system_clock() + self.ahead_ms

    def holds(self, *items: str) -> Callable[[], bool]:
        return lambda: self.follower.ready.is_set() and self._items() == {*items}

    def _items(self) -> set[str]:
        catalogue = self.model.catalogue
        return {one for one, row in list(catalogue.rows.items()) if catalogue.live[row]}

    def stop(self) -> None:
        self._loop.do(self.follower.stop())


def discarded(reason: str) -> float:
    return REGISTRY.get_sample_value("freshet_snapshot_discarded_total", {"reason": reason}) or 0.0


def discarded_in_all() -> float:
    return sum(
        one.value
        for family in REGISTRY.collect()
        for one in family.samples
        if one.name == "freshet_snapshot_discarded_total"
    )


def loaded_in() -> float | None:
    return REGISTRY.get_sample_value("freshet_snapshot_load_seconds")


def send(broker: EmbeddedBroker, *items: str) -> None:
    settings = load_settings(KafkaSettings, bootstrap_servers=broker.bootstrap_servers, partitions=2)
    create_topics(settings)
    with Emitter(settings) as emitter:
        for one in items:
            emitter.emit_item(Item(item_id=one, title=one))


class Writer(World):
    """What a worker would write, written to Kafka."""

    def __init__(self, settings: ServingSettings) -> None:
        super().__init__(settings, D)
        self._producer = Producer(settings, 0, None)

    def _apply(self, topic: str, key: str, value: bytes | None, now_ms: int) -> None:
        self._producer.send(self.settings.topic(topic), key, value)
        super()._apply(topic, key, value, now_ms)

    def clicks(self, start: int, end: int) -> None:
        chance = random.Random(start)
        made = [
            interaction(f"u{chance.randrange(9)}", f"i{chance.randrange(30)}", second, event_id=f"e{second}")
            for second in range(start, end)
        ]
        self.learn([msgspec.json.encode(one) for one in made], made)
        self._producer.flush(30)

    def delete(self, number: int) -> None:
        for topic in (ITEMS, ITEM_EMBEDDINGS, ITEM_SIGNALS):
            self._apply(topic, f"i{number}", None, 0)
        self._apply(USER_PROFILES, f"u{number}", None, 0)

    def close(self) -> None:
        self._producer.close(30)


def test_a_snapshot_and_what_came_after_it_are_what_the_topics_say(
    loop: Loop, settings: KafkaSettings, overrides: dict[str, object], tmp_path: Path
):
    serving = load_settings(ServingSettings, **overrides)
    writer = Writer(serving)
    vectors = np.random.default_rng(1).standard_normal((30, D)).astype(np.float32)
    items = [Item(item_id=f"i{n}", title=f"Title {n}", categories=[f"c{n % 3}"]) for n in range(30)]
    writer.put_items(items, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), "v", system_clock())
    writer.clicks(0, 300)
    first = Replica(loop, overrides, tmp_path / "first", snapshot_every_s=1)
    until((tmp_path / "first" / "manifest.json").exists)
    shutil.copytree(tmp_path / "first", tmp_path / "copy")  # as a crash would leave it
    writer.clicks(300, 500)
    writer.delete(3)
    first.stop()
    loads = (loaded_in(), discarded_in_all())
    again = Replica(loop, overrides, tmp_path / "copy")
    until(again.follower.ready.is_set)
    assert loaded_in() != loads[0] and discarded_in_all() == loads[1]
    again.stop()
    writer.close()
    assert state_hashes(again.model) == asyncio.run(hashes_of_topics(serving))
    assert summary(again.model) == {"items": 29, "vectors": 29, "profiles": 8}


def test_a_profile_does_not_wait_for_the_signals_that_came_before_it(
    loop: Loop, settings: KafkaSettings, overrides: dict[str, object], tmp_path: Path
):
    replica, count = Replica(loop, overrides, tmp_path), 2_000
    until(lambda: replica.model.live)
    producer, model = Producer(settings, 0, None), replica.model
    before = {f"earlier-{n}": 100 for n in range(400)}  # a millisecond of work each
    for n in range(count):
        producer.send(settings.topic(ITEM_SIGNALS), f"i{n}", pack_share(ItemSignals(n, before=before)))
    producer.send(settings.topic(USER_PROFILES), "ann", pack(Profile((), 1)))
    producer.close(30)
    until(lambda: model.profiles.get("ann") is not None)
    assert applied(model) < count
    until(lambda: applied(model) == count)
    replica.stop()


def applied(model: ReadModel) -> int:
    rows = [row for item_id, row in model.catalogue.rows.copy().items() if item_id.startswith("i")]
    return sum(1 for row in rows if model.behaviour.shares(row))


def test_a_replica_with_nothing_else_to_do_sums_what_changed_of_an_item_with_many_links(
    loop: Loop, settings: KafkaSettings, overrides: dict[str, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    replica = Replica(loop, overrides, tmp_path)
    until(lambda: replica.model.live)
    producer, behaviour = Producer(settings, 0, None), replica.model.behaviour
    before = {f"earlier-{n}": 100 for n in range(links.MOST + 1)}

    def given() -> int:
        row = replica.model.catalogue.rows.get("hot")
        return 0 if row is None else len(behaviour.predecessors([row])[0])

    def send_share(position: int) -> None:
        producer.send(settings.topic(ITEM_SIGNALS), "hot", pack_share(ItemSignals(position, before=before)))

    monkeypatch.setattr(links, "SETTLED_S", 3600)
    send_share(0)
    until(lambda: given() == links.STRONGEST)
    before["new"] = 300
    send_share(1)
    until(lambda: given() == links.STRONGEST + 1)
    monkeypatch.setattr(links, "SETTLED_S", 0.01)
    until(lambda: given() == links.STRONGEST)
    producer.close(30)
    replica.stop()


def test_a_snapshot_of_other_topics_is_given_up(loop: Loop, tmp_path: Path):
    port = free_port()
    with EmbeddedBroker(port) as broker:
        send(broker, "a", "b")
        first = Replica(loop, port, tmp_path)
        until(first.holds("a", "b"))
        first.stop()
    with EmbeddedBroker(port) as other:
        send(other, "c", "d", "e")
        before = discarded("topic")
        again = Replica(loop, port, tmp_path)
        until(again.holds("c", "d", "e"))
        assert discarded("topic") == before + 1
        again.stop()


def test_topics_that_are_made_again_are_noticed_by_a_replica_that_runs(
    loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(follower, "LOOK_EVERY", 1)
    port = free_port()
    with EmbeddedBroker(port) as broker:
        send(broker, "a", "b")
        running = Replica(loop, port, tmp_path)
        until(running.holds("a", "b"))
    with EmbeddedBroker(port) as other:
        send(other, "c", "d", "e")
        until(running.holds("c", "d", "e"))
        running.stop()


@pytest.mark.parametrize("ready", [False, True])
def test_without_kafka_only_the_setting_makes_a_snapshot_ready(loop: Loop, tmp_path: Path, ready: bool):
    port = free_port()
    with EmbeddedBroker(port) as broker:
        send(broker, "a", "b")
        first = Replica(loop, port, tmp_path)
        until(first.holds("a", "b"))
        first.stop()
    alone = Replica(loop, port, tmp_path, snapshot_ready=ready)
    until(lambda: summary(alone.model)["items"] == 2)
    until(lambda: alone.follower.stale)
    assert alone.follower.ready.is_set() == ready
    alone.stop()


def test_a_replica_that_is_ready_from_its_snapshot_catches_up_while_it_answers(loop: Loop, tmp_path: Path):
    with EmbeddedBroker() as broker:
        port = int(broker.bootstrap_servers.split(":")[1])
        send(broker, "a", "b")
        first = Replica(loop, port, tmp_path)
        until(first.holds("a", "b"))
        first.stop()
        send(broker, "c")
        again = Replica(loop, port, tmp_path, snapshot_ready=True)
        until(again.holds("a", "b", "c"))
        until(lambda: not again.follower.stale and again.model.live)
        again.stop()


def test_a_replica_that_was_cut_off_for_too_long_reads_all_again(loop: Loop, tmp_path: Path):
    with EmbeddedBroker() as broker:
        send(broker, "a", "b")
        running = Replica(loop, int(broker.bootstrap_servers.split(":")[1]), tmp_path)
        until(running.holds("a", "b"))
        running.model.catalogue.put_item("deleted meanwhile", Item(item_id="deleted meanwhile"), 0)
        before = discarded("too_old")
        running.ahead_ms = 13 * 3_600_000
        until(lambda: discarded("too_old") == before + 1)
        until(running.holds("a", "b"))
        running.stop()

"""Worker, replica and client as real processes on a real broker: clicks change slates, crashes change nothing."""

import random
from pathlib import Path

import httpx
import msgspec

from domain.clock import system_clock
from domain.exposures import Exposure
from domain.interactions import Interaction
from domain.items import Item
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import EXPOSURES
from freshet import Client
from stream.topic_admin import create_topics
from tests.integration.test_emitter import read_topic
from tests.system import System

THEMES = {
    "Horror": "a monster hunts the crew of a spaceship, part",
    "Romance": "a love story in Paris, part",
    "Crime": "detectives chase bank robbers, part",
}
CATALOGUE = [
    Item(item_id=f"{kind}-{n}", title=f"{kind}: {text} {n}", categories=[kind], published_at=1)
    for kind, text in THEMES.items()
    for n in range(8)
]
USERS = [f"user-{n}" for n in range(8)]


def clicks(seed: int, count: int, start_ms: int) -> list[Interaction]:
    rng = random.Random(seed)
    return [
        Interaction(
            event_id=f"s{seed}-{n}",
            type=rng.choice(["view", "click", "like"]),
            user_id=rng.choice(USERS),
            item_id=rng.choice(CATALOGUE).item_id,
            event_time=start_ms + n,
        )
        for n in range(count)
    ]


def click(user: str, item_id: str) -> Interaction:
    now = system_clock()
    return Interaction(event_id=f"{user}-{item_id}-{now}", type="click", user_id=user, item_id=item_id, event_time=now)


def test_a_click_changes_the_slate_and_a_new_item_is_found_by_its_text_and_a_deleted_one_disappears(system: System):
    system.start_worker()
    system.start_replica()
    system.send_items(CATALOGUE)
    system.learned(system.send(clicks(1, 16, system_clock() - 60_000)))
    system.embedded(len(CATALOGUE))
    with Client(system.url) as client:
        before = client.recommend("ann")
        assert before.fallback == "trending"
        token = client.send_events([click("ann", "Horror-0")])[0].token
        after = client.recommend("ann", after=token, wait_ms=2000)
        assert after.fresh and after.fallback is None and after.profile.interactions == 1
        assert [one.item_id for one in after.items] != [one.item_id for one in before.items]
        assert "Horror-0" not in [one.item_id for one in after.items]
        assert all(one.reasons for one in after.items)

        new = Item(item_id="new", title="Horror: another monster hunts another spaceship crew", categories=["Horror"])
        assert client.send_items([new])[0].accepted
        system.until(lambda: "new" in [one.item_id for one in client.recommend("ann").items], 20)
        assert client.send_items([{"item_id": "new", "deleted": True}])[0].accepted
        system.until(lambda: "new" not in [one.item_id for one in client.recommend("ann", count=50).items], 20)

        def exposed() -> list[Exposure]:
            records = read_topic(system.settings, EXPOSURES)
            told = [msgspec.json.decode(record.value, type=Exposure) for record in records]
            # Gathered before they are sent, they lie in the log as of when they were shown: before what came of them.
            assert [one.shown_at for one in told] == [record.timestamp for record in records]
            return [one for one in told if one.recommendation_id == after.recommendation_id]

        system.until(exposed, 20)
        (exposure,) = exposed()
        assert [one.item_id for one in exposure.items] == [one.item_id for one in after.items]
        assert exposure.user_id == "ann" and all(one.propensity == 1 for one in exposure.items)
        told = httpx.get(f"{system.url}/metrics").text
        assert 'freshet_slates_total{fallback="none"}' in told
    # The worker takes the deleted item's embedding away after the item is gone.
    system.until(lambda: system.replica_hashes() == system.hashes(), 20)


def test_duplicates_and_shuffled_order_give_the_same_profiles_and_a_replay_the_same_state(
    system: System, overrides: dict[str, object], tmp_path: Path
):
    events = clicks(2, 300, system_clock() - 60_000)
    other_overrides = {**overrides, "topic_prefix": f"{overrides['topic_prefix']}other-"}
    create_topics(load_settings(ServingSettings, **other_overrides))
    other = System(load_settings(ServingSettings, **other_overrides), other_overrides, tmp_path)
    try:
        shuffled = events + random.Random(3).sample(events, 60)
        random.Random(4).shuffle(shuffled)
        hashes = []
        for one, log in ((system, events), (other, shuffled)):
            one.start_worker()
            one.start_replica()
            one.learned(one.send(log))
            hashes.append(one.hashes())
        assert hashes[0]["user-profiles"] == hashes[1]["user-profiles"]
        system.learned(system.send(events))
        assert system.hashes() == hashes[0]
    finally:
        other.close()


def test_two_workers_share_the_partitions(system: System):
    from cli.broker import free_port

    ports = [free_port(), free_port()]
    for port in ports:
        system.start_worker(worker_metrics_port=port)
    system.start_replica()

    def owned() -> list[float]:
        try:
            told = [httpx.get(f"http://127.0.0.1:{port}/metrics").text for port in ports]
        except httpx.TransportError:
            return []
        return [float(one.split("\nfreshet_stream_partitions_owned ")[1].split()[0]) for one in told]

    def shared() -> bool:
        system.learned(system.send([click(user, "Crime-1") for user in USERS]))
        return sorted(owned()) == [2.0, 2.0]

    system.until(shared)


def test_a_worker_refuses_topics_that_are_missing_and_says_what_to_run(
    overrides: dict[str, object], settings: KafkaSettings, tmp_path: Path
):
    bare = System(settings, {**overrides, "topic_prefix": "none-"}, tmp_path)
    worker = bare.start_worker()
    try:
        bare.until(lambda: worker.status() is not None, 40)
        assert worker.status() == 2
        assert "run: freshet topics create" in worker.last_words()
    finally:
        bare.close()

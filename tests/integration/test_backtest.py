"""The backtest is the running system without Kafka and HTTP: for the same log it serves the same slates."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from cli.judging.world import World
from domain.clock import system_clock
from domain.settings import KafkaSettings, ServingSettings
from embeddings.transformer import TransformerEncoder
from freshet import Client
from tests.integration.test_system import CATALOGUE, USERS, clicks
from tests.system import System


@pytest.fixture
def system(settings: KafkaSettings, overrides: dict[str, object], tmp_path: Path) -> Iterator[System]:
    running = System(settings, overrides, tmp_path)
    yield running
    running.close()


def test_the_backtest_ranks_as_the_running_system_serves(system):
    system.start_worker()
    system.start_replica()
    system.send_items(CATALOGUE)
    system.embedded(len(CATALOGUE))
    events = clicks(seed=4, count=240, start_ms=system_clock() - 600_000)
    system.learned(system.send(events))

    encoder = TransformerEncoder()
    world = World(ServingSettings(), 200, encoder.dimension)
    vectors = encoder.encode([item.text() for item in CATALOGUE])
    world.put_items(CATALOGUE, vectors, encoder.version, events[0].time_ms)
    world.learn([msgspec.json.encode(one) for one in events], events)

    with Client(system.url, timeout_s=30) as client:
        for user in (*USERS, "a-stranger"):
            served = client.recommend(user, count=10).items
            replayed = world.recommend(world.query(user, system_clock(), count=10)).items
            ids = [world.model.catalogue.ids[one.row] for one in replayed]
            assert [one.item_id for one in served] == ids
            assert [one.score for one in served] == pytest.approx([one.score for one in replayed], abs=2e-3)
            assert [one.reasons for one in served] == [one.reasons for one in replayed]

"""Apache Kafka is killed and comes back, again and again, while clicks come in: none is lost, none counts twice."""

import pytest

from domain.settings import KafkaSettings
from tests.apache_kafka import ApacheKafka
from tests.kafka.load import ITEMS, PROFILE_SIZE, Load, check_all_is_there_once
from tests.system import System


@pytest.mark.parametrize("crashes", [2, pytest.param(10, marks=pytest.mark.long)])
def test_a_broker_that_is_killed_under_load_loses_nothing_and_nothing_counts_twice(
    node: ApacheKafka, system: System, settings: KafkaSettings, crashes: int
):
    worker = system.start_worker(profile_size=PROFILE_SIZE)
    system.start_replica(search=False, intake_timeout_ms=2000)
    system.send_items(ITEMS)
    with Load(settings, system.url, seed=1) as load:
        system.until(lambda: system.holds()["profiles"])  # the worker has begun
        for _ in range(crashes):
            more_arrive(system, load)
            node.kill()
            system.until(system.is_stale)
            node.start()
            system.until(lambda: not system.is_stale())
        more_arrive(system, load)
    check_all_is_there_once(system, load)
    assert worker.status() is None, worker.last_words()


def more_arrive(system: System, load: Load) -> None:
    """Waits until both producers go on, and the replica has heard of it."""
    goal = {name: count + 100 for name, count in load.sent.items()}
    system.until(lambda: all(load.sent[name] >= count for name, count in goal.items()))

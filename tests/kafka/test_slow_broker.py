"""A broker that takes its time, and one that says nothing for a while: late is not lost, and not twice."""

import pytest

from domain.settings import KafkaSettings
from tests.apache_kafka import ApacheKafka
from tests.kafka.load import ITEMS, PROFILE_SIZE, Load, check_all_is_there_once
from tests.kafka.slow_line import SlowLine
from tests.kafka.test_outages import more_arrive
from tests.system import System

pytestmark = pytest.mark.long


def test_a_far_and_then_frozen_broker_loses_nothing_and_nothing_counts_twice(
    node: ApacheKafka, system: System, settings: KafkaSettings
):
    with SlowLine(node.detour_port, node.behind_port, delay_s=0.03):
        worker = system.start_worker(
            profile_size=PROFILE_SIZE, bootstrap_servers=f"127.0.0.1:{node.detour_port}", session_timeout_s=6
        )
        system.start_replica(search=False, intake_timeout_ms=1000)
        system.send_items(ITEMS)
        with Load(settings, system.url, seed=2) as load:
            system.until(lambda: system.holds()["profiles"])
            more_arrive(system, load)
            node.freeze()
            system.until(system.is_stale)
            system.until(lambda: load.refused >= 6)  # at a second each: longer than the worker's session lasts
            node.thaw()
            system.until(lambda: not system.is_stale())
            more_arrive(system, load)
        check_all_is_there_once(system, load)
        assert worker.status() is None, worker.last_words()
        worker.kill()  # or it would wait for the line to come back

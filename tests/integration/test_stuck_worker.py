"""A worker that is stuck ends itself and goes on after its restart; one that waits, or has nothing to do, stays.

A proxy stands between the processes and the broker. It swallows one kind of the worker's requests, which is
how a write that is never answered or a consumer that has lost its place look from within.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cli import broker
from cli.broker import HOST, EmbeddedBroker, free_port
from domain.topics import USER_PROFILES
from stream.watchdog import EXIT_STUCK
from tests.integration.test_emitter import read_topic
from tests.integration.test_system import click
from tests.kafka_proxy import FETCH, PRODUCE, KafkaProxy
from tests.system import System, system_at

WORKER_WRITES, WORKER_READS = "aiokafka", "faust"
"""How the ids of the worker's Kafka clients begin; the tests' own differ."""


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[KafkaProxy]:
    arguments, port = broker._arguments, free_port()
    address = f"tcp://{HOST}:{port}"
    monkeypatch.setattr(broker, "_arguments", lambda at: [*arguments(at)[:4], address, *arguments(at)[5:]])
    with EmbeddedBroker() as behind:
        between = KafkaProxy(port, int(behind.bootstrap_servers.rpartition(":")[2]))
        yield between
        between.close()


@pytest.fixture
def system(proxy: KafkaProxy, tmp_path: Path) -> Iterator[System]:
    with system_at(f"{HOST}:{proxy.port}", tmp_path) as running:
        yield running


def owned(port: int) -> float:
    """How many partitions the worker holds."""
    try:
        told = httpx.get(f"http://127.0.0.1:{port}/metrics").text
    except httpx.TransportError:
        return 0
    return float(told.split("\nfreshet_stream_partitions_owned ")[1].split()[0])


def profiles(system: System) -> set[bytes]:
    return {one.key for one in read_topic(system.settings, USER_PROFILES)}


@pytest.mark.parametrize("request_and_client", [(PRODUCE, WORKER_WRITES), (FETCH, WORKER_READS)], ids=["write", "read"])
def test_a_worker_whose_requests_are_never_answered_ends_and_its_successor_goes_on(
    system: System, proxy: KafkaProxy, request_and_client: tuple[int, str]
) -> None:
    worker = system.start_worker(stuck_after_s=5, worker_metrics_port=(port := free_port()))
    system.until(lambda: owned(port) == 2)  # before anything waits: joining a group is no standing still
    system.send([click("before", "i1")])
    system.until(lambda: profiles(system) == {b"before"})
    proxy.swallow(*request_and_client)
    system.send([click("after", "i1")])
    system.until(lambda: worker.status() is not None)
    assert proxy.swallowed
    assert worker.status() == EXIT_STUCK
    said = worker.log_path.read_text()
    # The first event counts as waiting if the second came before its commit, which waits for both.
    assert re.search(r"this worker is stuck: [12] records wait, the oldest at interactions/", said)
    proxy.pass_all()
    system.start_worker()  # what its supervisor does
    system.until(lambda: profiles(system) == {b"before", b"after"})


def test_a_worker_tells_how_far_it_is_behind_while_what_it_writes_is_not_confirmed(
    system: System, proxy: KafkaProxy
) -> None:
    worker = system.start_worker(worker_metrics_port=(port := free_port()))
    system.until(lambda: owned(port) == 2)

    def lag(unit: str) -> float:
        told = httpx.get(f"http://127.0.0.1:{port}/metrics").text
        return float(told.split(f'\nfreshet_stream_lag_{unit}{{topic="interactions"}} ')[1].split()[0])

    system.send([click("before", "i1")])
    system.until(lambda: profiles(system) == {b"before"})
    system.until(lambda: (lag("records"), lag("seconds")) == (0, 0))
    proxy.swallow(PRODUCE, WORKER_WRITES)
    system.send([click("after", "i1"), click("after", "i2")])
    system.until(lambda: lag("records") == 2 and lag("seconds") > 2)
    worker.kill()  # told to stop it would wait for Kafka


def test_a_worker_without_work_and_one_without_a_kafka_are_not_stuck(system: System, proxy: KafkaProxy) -> None:
    worker = system.start_worker(stuck_after_s=5, log_level="DEBUG")
    log = worker.log_path
    system.until(
        lambda: log.read_text().count(" 0 records wait for the workers") >= 6
    )  # longer than it takes to be stuck
    proxy.close()
    system.until(lambda: log.read_text().count("cannot look what waits") >= 2)  # so does this
    assert worker.status() is None
    worker.kill()  # told to stop it would wait for Kafka

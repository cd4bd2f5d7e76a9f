"""Three times as many clicks as a worker can take: it holds no more of them than it did, and loses none."""

import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import httpx
import pytest

from bench.workload import interactions
from cli.broker import free_port
from cli.children import Child
from domain.clock import system_clock
from domain.settings import KafkaSettings
from freshet import Emitter
from tests.apache_kafka import ApacheKafka
from tests.kafka.load import behaviour, expected_hashes
from tests.kafka.slow_line import SlowLine
from tests.system import System

NARROW_BYTES_PER_S = 200_000
"""Of what the worker writes to Kafka; it is slow because its results are slow to become durable."""

GROWTH_BYTES = 250_000_000
PROFILE_SIZE = 20
PADDING = {f"note {at}": "x" * 250 for at in range(4)}


@pytest.mark.parametrize("seconds", [4, pytest.param(60, marks=pytest.mark.long)])
def test_a_worker_with_three_times_its_load_stays_small_and_catches_up(
    node: ApacheKafka, system: System, settings: KafkaSettings, seconds: int
):
    with SlowLine(node.detour_port, node.behind_port) as line:
        metrics_port = free_port()
        worker = system.start_worker(
            profile_size=PROFILE_SIZE,
            bootstrap_servers=f"127.0.0.1:{node.detour_port}",
            worker_metrics_port=metrics_port,
        )
        clicks = padded()
        sent = send_for(settings, clicks, 0.5)
        system.until(lambda: applied(metrics_port) == sent)
        size = resident_bytes(worker)
        line.up_bytes_per_s = NARROW_BYTES_PER_S
        sent += send_for(settings, clicks, 1.5)  # fills what lies between the computing and Kafka
        before = applied(metrics_port)
        load = send_for(settings, clicks, seconds)
        did = applied(metrics_port) - before
        assert load >= 3 * did
        sent += load
        line.up_bytes_per_s = None
        system.until(lambda: applied(metrics_port) == sent, 240)
        grown = peak_bytes(worker) - size
        print(f"sent {load:,} while {did:,} were applied; grew by {grown:,} bytes at most")
        assert grown < GROWTH_BYTES
        expected = expected_hashes(settings, PROFILE_SIZE)
        system.until(lambda: behaviour(system.hashes()) == expected)
        assert worker.status() is None
        worker.kill()  # or it would wait for the line to come back


def padded() -> Iterator[dict]:
    """Clicks of a kilobyte, without end."""
    for seed in count():
        for one in interactions(10_000, 2_000, 500, system_clock(), seed=seed):
            yield {
                "event_id": one.event_id,
                "type": one.type,
                "user_id": one.user_id,
                "item_id": one.item_id,
                "event_time": one.event_time,
                "context": PADDING,
            }


def send_for(settings: KafkaSettings, clicks: Iterator[dict], seconds: float) -> int:
    """Sends as fast as it goes and returns how many Kafka has then."""
    ends = time.monotonic() + seconds
    with Emitter(settings, linger_ms=20) as emitter:
        sent = 0
        while time.monotonic() < ends:
            emitter.emit(next(clicks))
            sent += 1
    return sent


def applied(metrics_port: int) -> int:
    """How many interactions the worker has applied."""
    try:
        told = httpx.get(f"http://127.0.0.1:{metrics_port}/metrics").text
    except httpx.TransportError:
        return -1
    counts = [line for line in told.splitlines() if line.startswith("freshet_stream_interactions_total{")]
    return sum(int(float(line.rsplit(" ", 1)[1])) for line in counts)


def resident_bytes(child: Child) -> int:
    return _memory(child, "VmRSS")


def peak_bytes(child: Child) -> int:
    return _memory(child, "VmHWM")


def _memory(child: Child, name: str) -> int:
    lines = Path(f"/proc/{child.pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

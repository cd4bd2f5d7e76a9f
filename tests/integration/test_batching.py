"""Our Faust consumer on a real broker: what is acknowledged was handled, what failed is read again."""

import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from kafka import KafkaProducer

from cli.children import Child
from domain.settings import KafkaSettings
from domain.topics import INTERACTIONS
from stream.outbox import EXIT_BROKEN

COUNT = 3_000


class Workers:
    """Counting workers over one topic; `handled` says how often each record was handled."""

    def __init__(self, overrides: dict[str, object], folder: Path) -> None:
        self._variables = {f"FRESHET_{name.upper()}": str(value) for name, value in overrides.items()}
        self._variables["PYTHONPATH"] = str(Path(__file__).parents[2])
        self._folder = folder
        self.seen = folder / "seen"
        self.children: list[Child] = []

    def start(self, fail_at: int = -1) -> Child:
        command = [sys.executable, "-m", "tests.integration.counting_worker", str(self.seen), str(fail_at)]
        child = Child("worker", command, self._folder / f"worker-{len(self.children)}.log", self._variables)
        self.children.append(child)
        return child

    def handled(self) -> Counter[str]:
        return Counter(self.seen.read_text().splitlines() if self.seen.exists() else [])

    def until(self, holds) -> None:
        deadline = time.monotonic() + 60
        while not holds():
            assert time.monotonic() < deadline, [(one.status(), one.last_words()) for one in self.children]
            time.sleep(0.05)


@pytest.fixture
def workers(settings: KafkaSettings, overrides: dict[str, object], tmp_path: Path) -> Iterator[Workers]:
    running = Workers(overrides, tmp_path)
    yield running
    for child in running.children:
        child.stop()


def produce(settings: KafkaSettings, count: int = COUNT) -> None:
    producer = KafkaProducer(**settings.kafka_options(), linger_ms=5)
    for number in range(count):
        producer.send(settings.topic(INTERACTIONS), key=f"user-{number}".encode(), value=b"{}")
    producer.flush()
    producer.close()


def test_a_worker_that_stops_in_order_leaves_nothing_to_its_successor(settings: KafkaSettings, workers: Workers):
    produce(settings)
    first = workers.start()
    workers.until(lambda: len(workers.handled()) == COUNT)
    first.stop()
    assert first.status() == 0
    produce(settings, 100)
    workers.start()
    workers.until(lambda: len(workers.handled()) == COUNT + 100)
    assert set(workers.handled().values()) == {1}


def test_a_batch_that_fails_ends_the_worker_and_is_read_again(settings: KafkaSettings, workers: Workers):
    produce(settings)
    failing = workers.start(fail_at=5)  # in every partition, so in the first batch of whichever comes first
    workers.until(lambda: failing.status() is not None)
    assert failing.status() == EXIT_BROKEN
    assert not [line for line in workers.handled() if line.endswith(" 5")]
    workers.start()
    workers.until(lambda: len(workers.handled()) == COUNT)


def test_a_killed_worker_repeats_records_and_misses_none(settings: KafkaSettings, workers: Workers):
    produce(settings)
    first = workers.start()
    workers.until(lambda: len(workers.handled()) > 0)
    first.kill()
    produce(settings, 100)
    workers.start()
    workers.until(lambda: len(workers.handled()) == COUNT + 100)

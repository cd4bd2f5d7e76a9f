"""The broker's disk is full: it ends, and what it had confirmed is there when it has room again."""

import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.settings import KafkaSettings
from tests.apache_kafka import ApacheKafka, apache_kafka
from tests.kafka.load import ITEMS, PROFILE_SIZE, Load, check_all_is_there_once
from tests.kafka.test_outages import more_arrive
from tests.system import System

pytestmark = pytest.mark.long
DISK = "200m"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of this test's own, in memory."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = subprocess.run(mount, check=False, capture_output=True)
    if mounted.returncode:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def node(kafka_home: Path, disk: Path) -> Iterator[ApacheKafka]:
    with apache_kafka(kafka_home, disk / "data") as node:
        yield node


@pytest.fixture
def overrides(node: ApacheKafka) -> dict[str, object]:
    return {
        "bootstrap_servers": node.bootstrap_servers,
        "topic_prefix": f"t{uuid.uuid4().hex[:12]}-",
        "partitions": 2,
    }


def test_a_full_disk_ends_the_broker_and_nothing_that_it_confirmed(
    node: ApacheKafka, disk: Path, system: System, settings: KafkaSettings
):
    worker = system.start_worker(profile_size=PROFILE_SIZE)
    system.start_replica(search=False, intake_timeout_ms=2000)
    system.send_items(ITEMS)
    with Load(settings, system.url, seed=3) as load:
        system.until(lambda: system.holds()["profiles"])
        more_arrive(system, load)
        filler = disk / "filler"
        fill(filler)
        system.until(lambda: not node.is_running(), 120)
        system.until(system.is_stale)
        filler.unlink()
        node.start()
        system.until(lambda: not system.is_stale())
        more_arrive(system, load)
    check_all_is_there_once(system, load)
    assert worker.status() is None, worker.last_words()


def fill(filler: Path) -> None:
    """Takes what room there is left."""
    with filler.open("wb", buffering=0) as file:
        for size in (1_048_576, 4_096):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass

"""A running Freshet for a test: real worker and replica processes on the test's own topics."""

import asyncio
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx

from cli.broker import free_port
from cli.children import Child, freshet_command
from cli.state import hashes_of_topics
from cli.topic_records import records_of
from domain.codecs import unpack
from domain.interactions import Interaction
from domain.items import Item
from domain.positions import Position
from domain.profile import Reach
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import USER_PROFILES
from freshet import Emitter
from stream.topic_admin import create_topics
from tests.forked import ForkedChild

PATIENCE_S = 90.0


class System:
    """Workers and replicas as processes of their own; close it to end them all."""

    def __init__(self, settings: KafkaSettings, overrides: dict[str, object], folder: Path) -> None:
        self.settings = settings
        self.overrides = overrides
        self._folder = folder
        self.children: list[Child] = []
        self.url = ""

    def start_worker(self, **more: object) -> Child:
        return self._start("stream", {"commit_interval_s": 0.2, "session_timeout_s": 6, **more})

    def start_replica(self, wait: bool = True, **more: object) -> Child:
        port = free_port()
        child = self._start("serve", {"port": port, **more})
        self.url = f"http://127.0.0.1:{port}"
        if wait:
            self.until(self.is_ready)
        return child

    def start_learner(self) -> Child:
        return self._start("learn", {}, "--every", "1")

    def _start(self, command: str, more: dict[str, object], *arguments: str) -> Child:
        variables = {f"FRESHET_{name.upper()}": str(value) for name, value in {**self.overrides, **more}.items()}
        variables["PYTHONPATH"] = str(Path(__file__).parents[1])
        log = self._folder / f"{command}-{len(self.children)}.log"
        self.children.append(self._child([command, *arguments], log, variables))
        return self.children[-1]

    def _child(self, arguments: list[str], log: Path, variables: dict[str, str]) -> Child:
        return Child(arguments[0], freshet_command(*arguments), log, variables)

    def is_live(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/live").status_code == 200
        except httpx.TransportError:
            return False

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/health/ready").status_code == 200
        except httpx.TransportError:
            return False

    def is_stale(self) -> bool:
        return bool(self.ready()["stale"])

    def holds(self) -> dict[str, int]:
        """How many items, vectors and profiles the replica has."""
        return self.ready()["holds"]

    def ready(self) -> dict:
        """What the replica says of itself."""
        return httpx.get(f"{self.url}/health/ready").json()

    def until(self, holds, patience_s: float = PATIENCE_S) -> None:
        """Waits until something holds; fails with the processes' last words if it never does."""
        deadline = time.monotonic() + patience_s
        while not holds():
            if time.monotonic() > deadline:
                said = "\n".join(f"{one.name} ({one.status()}): {one.last_words()}" for one in self.children)
                raise AssertionError(f"it did not come true in {patience_s:g} s\n{said}")
            time.sleep(0.05)

    def send_items(self, items: Sequence[Item]) -> None:
        with Emitter(self.settings) as emitter:
            for item in items:
                emitter.emit_item(item)

    def send(self, interactions: Sequence[Interaction]) -> dict[str, Position]:
        """Sends interactions and returns the last position of each user."""
        with Emitter(self.settings) as emitter:
            sent = [(one.user_id, emitter.emit(one)) for one in interactions]
            emitter.flush(30)
            return {user: delivery.position(10) for user, delivery in sent}

    def learned(self, positions: dict[str, Position]) -> None:
        """Waits until workers have dealt with all up to the positions and the replica has what they wrote."""
        self.until(lambda: all(self.written().get(user, -1) >= one.offset for user, one in positions.items()))
        self.until(lambda: self.replica_hashes()["user-profiles"] == self.hashes()["user-profiles"])

    def written(self) -> dict[str, int]:
        """The position of each user's profile in Kafka."""
        found = records_of(self.settings, USER_PROFILES)
        return {one.key.decode(): unpack(one.value, Reach).position for one in found if one.value is not None}

    def embedded(self, count: int) -> None:
        """Waits until the replica holds that many vectors."""
        self.until(lambda: self.holds()["vectors"] == count)

    def hashes(self) -> dict[str, str]:
        """The state as the topics have it."""
        settings = load_settings(ServingSettings, **self.overrides)
        with ThreadPoolExecutor(1) as aside:  # a browser's test has an event loop of its own
            return aside.submit(lambda: asyncio.run(hashes_of_topics(settings))).result()

    def replica_hashes(self) -> dict[str, str]:
        """The state as the replica's memory has it."""
        return httpx.get(f"{self.url}/v1/state/hash").json()

    def close(self) -> None:
        for child in self.children:
            child.stop()


class QuickSystem(System):
    """The same, of processes that start at once."""

    def _child(self, arguments: list[str], log: Path, variables: dict[str, str]) -> Child:
        return ForkedChild(arguments[0], arguments, log, variables)


@contextmanager
def system_at(servers: str, folder: Path) -> Iterator[System]:
    """A system on an embedded broker of the test's own, its topics made; ended at the end."""
    overrides: dict[str, object] = {"bootstrap_servers": servers, "partitions": 2, "fetch_max_wait_ms": 5}
    settings = load_settings(KafkaSettings, **overrides)
    create_topics(settings)
    running = System(settings, overrides, folder)
    try:
        yield running
    finally:
        running.close()

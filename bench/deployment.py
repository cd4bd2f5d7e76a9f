"""A Freshet of real processes for one bench: a broker, workers, replicas and peers, all ended with it.

Everything listens on free ports of loopback. Whatever ends the bench (its end, an error, Ctrl-C, SIGTERM)
ends the processes.
"""

import json
import os
import re
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Literal, TypeVar

import httpx

from cli.broker import HOST, EmbeddedBroker, free_port
from cli.children import Child, freshet_command
from cli.progress import progress
from domain.errors import FreshetError
from domain.interactions import Interaction
from domain.items import Item
from domain.settings import KafkaSettings, load_settings
from freshet import Emitter
from stream.topic_admin import create_topics

Broker = Literal["embedded", "apache"]
ROOT = Path(__file__).parents[1]
LINGER_MS = 50
POLL_S = 0.02
FETCH_MAX_WAIT_MS = {"embedded": 5, "apache": 500}
"""Kafka answers a waiting fetch when data comes; the embedded broker looks again after half of the wait."""

Found = TypeVar("Found")
_http = httpx.Client(timeout=10)  # one for all: making one reads every certificate of the machine


class Deployment:
    """One broker with the topics, and what is started on it.

    Attributes:
        settings: how every process reaches the broker.
        folder: where the processes write; gone at the end.
    """

    def __init__(self, stack: ExitStack, folder: Path, overrides: dict[str, object], broker_pid: int) -> None:
        self._stack = stack
        self._overrides = overrides
        self._children: list[Child] = []
        self._broker_pid = broker_pid
        self.folder = folder
        self.settings = load_settings(KafkaSettings, **overrides)
        create_topics(self.settings)

    def worker(self, **more: object) -> "Worker":
        """Starts a stream worker and returns when its metrics answer."""
        return self.workers(1, **more)[0]

    def workers(self, count: int, **more: object) -> "list[Worker]":
        """Starts stream workers at once and returns when the metrics of all answer."""
        workers = []
        for _ in range(count):
            port = free_port()
            child = self._start("stream", freshet_command("stream"), {"worker_metrics_port": port, **more})
            workers.append(Worker(child, f"http://{HOST}:{port}/metrics"))
        self.until(lambda: all(answers(one.url) for one in workers))
        return workers

    def replica(self, **more: object) -> "Replica":
        """Starts a serving replica and returns when it is ready."""
        port = free_port()
        child = self._start("serve", freshet_command("serve"), {"port": port, **more})
        replica = Replica(child, f"http://{HOST}:{port}")
        self.until(lambda: answers(f"{replica.url}/health/ready"))
        return replica

    def peer(self, name: str, *arguments: object) -> Child:
        """Starts one of the programs in bench/peers.py."""
        return self._start(name, [sys.executable, "-m", "bench.peers", name, *map(str, arguments)], {})

    def told(self, child: Child, patience_s: float) -> dict[str, float]:
        """Waits until a peer that measures has ended, and returns what it told in its last line."""
        deadline = time.monotonic() + patience_s
        while child.status() is None and time.monotonic() < deadline:
            time.sleep(0.1)
        told: dict[str, float] = json.loads(child.log_path.read_text().splitlines()[-1])
        self.forget(child)
        return told

    def stop(self, child: Child) -> None:
        """Ends one of the processes."""
        self._children.remove(child)
        child.kill()

    def forget(self, child: Child) -> None:
        """Expects a process no more that has ended by itself, as it should."""
        self._children.remove(child)

    def send(self, items: Sequence[Item], interactions: Iterable[Interaction], count: int) -> None:
        """Fills the topics; returns when Kafka has everything."""
        with Emitter(self.settings, linger_ms=LINGER_MS) as emitter:
            for item in items:
                emitter.emit_item(item)
            for interaction in progress(interactions, "sending", "interactions", count):
                emitter.emit(interaction)

    def processes(self) -> dict[str, int]:
        """The process ids of what is running here, by name."""
        return {"broker": self._broker_pid} | {one.name: one.pid for one in self._children}

    def until(self, find: Callable[[], Found], patience_s: float = 90.0) -> Found:
        """Asks again and again until the answer is true, and returns it; raises when a process has ended."""
        deadline = time.monotonic() + patience_s
        while not (found := find()):
            for child in self._children:
                child.check()
            if time.monotonic() > deadline:
                said = "\n".join(f"{one.name}: {one.last_words()}" for one in self._children)
                raise FreshetError(f"what the bench waits for did not come within {patience_s:g} s\n{said}")
            time.sleep(POLL_S)
        return found

    def _start(self, name: str, command: list[str], more: dict[str, object]) -> Child:
        variables = {f"FRESHET_{key.upper()}": str(value) for key, value in {**self._overrides, **more}.items()}
        variables |= {"PYTHONPATH": str(ROOT), "TMPDIR": str(self.folder)}
        child = Child(name, command, self.folder / f"{name}-{len(self._children)}.log", variables)
        self._stack.callback(child.kill)  # nothing in it is worth a slower end
        self._children.append(child)
        return child


class Worker:
    """A running stream worker."""

    def __init__(self, child: Child, url: str) -> None:
        self.child = child
        self.url = url

    def counted(self, name: str) -> float:
        """The sum of one of its counters over all labels."""
        found = re.findall(rf"^{name}(?:{{.*}})? (\S+)$", _http.get(self.url).text, re.MULTILINE)
        return sum(map(float, found))


class Replica:
    """A running serving replica."""

    def __init__(self, child: Child, url: str) -> None:
        self.child = child
        self.url = url

    def holds(self, **counts: int) -> bool:
        """Whether it has read everything there is and holds these counts of `items`, `vectors`, `profiles`."""
        told = _http.get(f"{self.url}/health/ready").json()
        return told["lag_records"] == 0 and all(told["holds"][what] == count for what, count in counts.items())


@contextmanager
def deployment(broker: Broker = "embedded", **settings: object) -> Iterator[Deployment]:
    """Starts a broker with the topics; everything that is started on it ends with the block."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the block below ends in order
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="freshet-bench-")))
        address, pid = stack.enter_context(_running(broker))
        overrides = {"bootstrap_servers": address, "partitions": 4, "fetch_max_wait_ms": FETCH_MAX_WAIT_MS[broker]}
        yield Deployment(stack, folder, overrides | settings, pid)


def brokers() -> list[Broker]:
    """The brokers to measure on: the embedded one, and Apache Kafka where KAFKA_HOME names one."""
    return ["embedded", "apache"] if os.environ.get("KAFKA_HOME") else ["embedded"]


def cpu_seconds(pid: int | str) -> float:
    """Processor time that a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def say(what: str) -> None:
    """Tells on stderr what is being done."""
    print(what, file=sys.stderr, flush=True)


@contextmanager
def _running(broker: Broker) -> Iterator[tuple[str, int]]:
    if broker == "embedded":
        with EmbeddedBroker() as embedded:
            yield embedded.bootstrap_servers, embedded.pid
        return
    from tests.apache_kafka import apache_kafka  # noqa: PLC0415 - a node that only the tests need otherwise

    with apache_kafka(Path(os.environ["KAFKA_HOME"])) as node:
        yield node.bootstrap_servers, node.pid


def answers(url: str) -> bool:
    """Whether a URL is answered, and well."""
    try:
        return _http.get(url).is_success
    except httpx.TransportError:
        return False

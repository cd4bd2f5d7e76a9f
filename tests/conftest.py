"""What all tests share: a clean environment, Hypothesis' profile, brokers and topics of their own."""

import gc
import os
import sys
import uuid
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from cli.broker import EmbeddedBroker
from domain.settings import PREFIX, KafkaSettings, load_settings
from tests.apache_kafka import apache_kafka

with warnings.catch_warnings():  # kafka-python 3.0.12 reads its schemas in a deprecated way
    warnings.filterwarnings("ignore", "(read|open)_text is deprecated", DeprecationWarning)
    from stream.topic_admin import create_topics

# The same examples in every run: a suite that passes once passes again. The first draw of text builds a
# table for seconds on a fresh checkout, which is no fault of the test that happens to come first.
hypothesis.settings.register_profile(
    "freshet",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("freshet")

# Each process of a test gets one OpenMP thread, and this one before anything has loaded torch: threads that spin
# while others wait for their core make small trainings twenty times slower.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Compiled loops look where they read and write, here and in the processes that tests start: they do not in production,
# so that what they are compiled to is kept apart.
os.environ.setdefault("NUMBA_BOUNDSCHECK", "1")
os.environ.setdefault("NUMBA_CACHE_DIR", str(Path(sys.prefix) / "checked-loops"))

if TYPE_CHECKING:
    from tests.system import System

EXTERNAL = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
KAFKA_HOME = os.environ.get("KAFKA_HOME")

ONE_BROKER = pytest.mark.parametrize(
    "kafka", ["external" if EXTERNAL else "apache" if KAFKA_HOME else "embedded"], indirect=True
)
"""For what takes long and does not depend on the broker: Apache Kafka where there is one."""


def pytest_configure(config: pytest.Config) -> None:
    """Lets pass that kafka-python 3.0.12 leaves a refused connection's socket to the garbage collector."""
    config.addinivalue_line("filterwarnings", "ignore:unclosed <socket.socket:ResourceWarning")


def pytest_sessionfinish() -> None:
    """Collects the last of them while the filter above still stands; pytest itself collects after it fell."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "unclosed <socket.socket", ResourceWarning)
        gc.collect()


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session", params=["external"] if EXTERNAL else ["embedded", "apache"])
def kafka(request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a running broker: the embedded one, then Apache Kafka from KAFKA_HOME.

    KAFKA_BOOTSTRAP_SERVERS names one that runs already, which then takes the place of both.
    """
    if request.param == "external":
        yield EXTERNAL or ""
    elif request.param == "embedded":
        with EmbeddedBroker() as broker:
            yield broker.bootstrap_servers
    elif KAFKA_HOME:
        with apache_kafka(Path(KAFKA_HOME)) as node:
            yield node.bootstrap_servers
    else:
        pytest.skip("KAFKA_HOME does not name an unpacked Apache Kafka")


@pytest.fixture
def overrides(kafka: str, request: pytest.FixtureRequest) -> dict[str, object]:
    """Arguments for `load_settings` of any process: this broker, topics of this test's own.

    The embedded broker looks again at an empty fetch only after half of the wait, hence the small one.
    """
    return {
        "bootstrap_servers": kafka,
        "topic_prefix": f"t{uuid.uuid4().hex[:12]}-",
        "partitions": 4,
        "fetch_max_wait_ms": 5 if request.node.callspec.params["kafka"] == "embedded" else 500,
    }


@pytest.fixture
def settings(overrides: dict[str, object]) -> KafkaSettings:
    """Settings of this broker, with the topics created."""
    settings = load_settings(KafkaSettings, **overrides)
    create_topics(settings)
    return settings


@pytest.fixture
def system(settings: KafkaSettings, overrides: dict[str, object], tmp_path: Path) -> "Iterator[System]":
    """A Freshet of real processes on this broker, all ended with the test."""
    from tests.system import System  # noqa: PLC0415 - once what is set above holds

    running = System(settings, overrides, tmp_path)
    yield running
    running.close()

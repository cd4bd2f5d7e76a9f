"""A broker of these tests' own: they crash it, freeze it and fill its disk."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from domain.settings import KafkaSettings, load_settings
from stream.topic_admin import create_topics
from tests.apache_kafka import ApacheKafka, apache_kafka

KAFKA_HOME = os.environ.get("KAFKA_HOME")


@pytest.fixture(scope="session")
def kafka_home() -> Path:
    """Where Apache Kafka is unpacked; where there is none, the tests of this folder are skipped."""
    if not KAFKA_HOME:
        pytest.skip("KAFKA_HOME does not name an unpacked Apache Kafka")
    return Path(KAFKA_HOME)


@pytest.fixture(scope="session")
def _node(kafka_home: Path) -> Iterator[ApacheKafka]:
    with apache_kafka(kafka_home) as node:
        yield node


@pytest.fixture
def node(_node: ApacheKafka) -> ApacheKafka:
    """A node that runs, whatever the test before did to it."""
    _node.thaw()
    if not _node.is_running():
        _node.start()
    return _node


@pytest.fixture
def overrides(node: ApacheKafka) -> dict[str, object]:
    """Arguments for `load_settings` of any process: this broker, topics of this test's own."""
    return {
        "bootstrap_servers": node.bootstrap_servers,
        "topic_prefix": f"t{uuid.uuid4().hex[:12]}-",
        "partitions": 4,
    }


@pytest.fixture
def settings(overrides: dict[str, object]) -> KafkaSettings:
    settings = load_settings(KafkaSettings, **overrides)
    create_topics(settings)
    return settings

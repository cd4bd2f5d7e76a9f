"""kafka-python clients for the commands: opened, closed, and their errors turned into ours."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from kafka.errors import (
    CoordinatorLoadInProgressError,
    CoordinatorNotAvailableError,
    KafkaError,
    NotCoordinatorError,
)

from domain.errors import BrokerUnavailable, ConfigError
from domain.settings import KafkaSettings

BOOTSTRAP_TIMEOUT_MS = 5_000
COORDINATOR_PATIENCE_S = 15.0
"""A Kafka that has never had a consumer group makes the topic of their offsets first: seconds."""

Answer = TypeVar("Answer")


@contextmanager
def connected(client: Callable[..., Any], settings: KafkaSettings, **options: object) -> Iterator[Any]:
    """Opens a KafkaAdminClient, KafkaConsumer or KafkaProducer and closes it at the end.

    Raises:
        BrokerUnavailable: no broker answered, or it refused what was asked.
        ConfigError: the addresses are none, or the settings do not allow to log in.
    """
    opened = None
    try:
        opened = _open(client, settings, options)
        yield opened
    except KafkaError as error:
        raise BrokerUnavailable(
            f"Kafka at {settings.bootstrap_servers}: {error}. Is it running? See FRESHET_BOOTSTRAP_SERVERS"
        ) from None
    finally:
        if opened is not None:
            opened.close()


def with_coordinator(ask: Callable[..., Answer], *arguments: object) -> Answer:
    """Asks about a consumer group, again and again while Kafka has no coordinator for it yet."""
    deadline = time.monotonic() + COORDINATOR_PATIENCE_S
    while True:
        try:
            return ask(*arguments)
        except (CoordinatorNotAvailableError, NotCoordinatorError, CoordinatorLoadInProgressError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def _open(client: Callable[..., Any], settings: KafkaSettings, options: dict[str, object]) -> Any:  # noqa: ANN401
    try:
        return client(**settings.kafka_options(), bootstrap_timeout_ms=BOOTSTRAP_TIMEOUT_MS, **options)
    except (ValueError, IndexError):  # kafka-python's words for addresses that it cannot read
        raise ConfigError(
            f"FRESHET_BOOTSTRAP_SERVERS={settings.bootstrap_servers!r}: expected HOST:PORT, several separated by commas"
        ) from None

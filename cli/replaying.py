"""Sends dead letters again to the topic they came from, and remembers which."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec
from kafka import KafkaProducer

from cli.kafka_clients import connected
from cli.letters import Letter, Mark, read_letters, read_marks
from domain.errors import DeliveryError
from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS, MARK_HEADER
from freshet.producer import IN_ORDER

ON_THEIR_WAY = 5_000
"""Letters that may be unconfirmed; kafka-python has no bound of its own."""

RECORD_BYTES = 2 * 1_048_576
"""More than the topic that a letter came from takes, so the broker decides and not the client."""

DELIVERY_MS = 30_000
BLOCK_MS = 10_000
"""How long to wait for Kafka to take a letter, and for a first word about the topic."""


@dataclass
class Replay:
    """What became of the dead letters: replayed, by reason, or left alone, and why."""

    replayed: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


class Marks:
    """How far the letters of each reason have been replayed to one topic; kept among the letters themselves."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._known: dict[tuple[int, str], int] = {}
        self._reached: dict[tuple[int, str], int] = {}
        for partition, mark in read_marks(settings):
            if mark.topic == topic:
                place = partition, mark.reason
                self._known[place] = max(mark.below, self._known.get(place, 0))

    def passed(self, letter: Letter) -> bool:
        """Whether an earlier replay sent this letter."""
        return letter.offset < self._known.get((letter.partition, letter.reason), 0)

    def reach(self, letter: Letter) -> None:
        """Notes that a letter is being sent; letters come in order within a partition."""
        self._reached[letter.partition, letter.reason] = letter.offset + 1

    def save(self) -> None:
        """Writes down what has been reached. Call it when Kafka has all of it.

        Raises:
            DeliveryError: Kafka did not take it; the next replay sends these letters again.
        """
        dead_letters = self._settings.topic(DEAD_LETTERS)
        with _producer(self._settings) as send:
            for (partition, reason), below in self._reached.items():
                said = msgspec.json.encode(Mark(self._topic, reason, below))
                send(dead_letters, partition=partition, value=b"", headers=[(MARK_HEADER, said)])


def replay_letters(settings: KafkaSettings, topic: str, reason: str | None, dry_run: bool) -> Replay:
    """Sends the letters of one topic, or of one reason among them, that have not been replayed before.

    What is sent is the original key, bytes and headers; the key decides the partition, as for every record. The
    marks are saved when Kafka has confirmed all, so an interrupted replay is repeated, not lost.

    Raises:
        BrokerUnavailable, TopicError: the dead letters cannot be read.
        DeliveryError: Kafka did not take all; the next replay sends all of them again.
    """
    told = Replay()
    marks = Marks(settings, settings.topic(topic))
    chosen = _chosen(settings, settings.topic(topic), reason, marks, told)
    if dry_run:
        told.replayed.update(letter.reason for letter in chosen)
        return told
    with _producer(settings) as send:
        for letter in chosen:
            # kafka-python sends no header without a value; an empty one says as little
            headers = [(name, raw or b"") for name, raw in letter.headers]
            send(letter.topic, key=letter.key, value=letter.value, headers=headers)
            told.replayed[letter.reason] += 1
            marks.reach(letter)
    marks.save()
    return told


def _chosen(settings: KafkaSettings, topic: str, reason: str | None, marks: Marks, told: Replay) -> Iterator[Letter]:
    for letter in read_letters(settings):
        if letter.topic != topic:
            told.left[f"of another topic ({letter.topic or 'none is named'})"] += 1
        elif reason not in (None, letter.reason):
            told.left[f"of another reason ({letter.reason})"] += 1
        elif letter.value is None:
            told.left["without a value"] += 1
        elif marks.passed(letter):
            told.left["replayed before"] += 1
        else:
            yield letter


@contextmanager
def _producer(settings: KafkaSettings) -> Iterator[Callable[..., None]]:
    """Gives a function that sends; at the end Kafka has confirmed all, or DeliveryError is raised."""
    failures: list[BaseException] = []
    sent = 0
    timeouts = {"delivery_timeout_ms": DELIVERY_MS, "request_timeout_ms": 10_000, "max_block_ms": BLOCK_MS}
    with connected(KafkaProducer, settings, **IN_ORDER, **timeouts, max_request_size=RECORD_BYTES) as producer:

        def send(topic: str, **record: Any) -> None:  # noqa: ANN401 - as kafka-python takes it
            nonlocal sent
            producer.send(topic, **record).add_errback(failures.append)
            sent += 1
            if sent % ON_THEIR_WAY == 0:
                producer.flush()

        yield send
        producer.flush()  # ends after DELIVERY_MS at the latest
    if failures:
        raise DeliveryError(f"Kafka did not take {len(failures):,} of {sent:,} letters: {failures[0]}")

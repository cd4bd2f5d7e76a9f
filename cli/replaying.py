"""Sends dead letters again to the topic they came from, and remembers which."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import NoError
from kafka.structs import OffsetAndMetadata

from cli.kafka_clients import connected, with_coordinator
from cli.letters import Letter, read_letters
from domain.errors import DeliveryError
from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS

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
    """How far the letters of each reason have been replayed to one topic.

    They are the committed offsets of consumer groups that nobody joins, one for each reason, so a replay
    of one reason leaves the others as they were. Kafka forgets them as it forgets any group's.
    """

    def __init__(self, admin: Any, settings: KafkaSettings, topic: str) -> None:  # noqa: ANN401
        self._admin = admin
        self._dead_letters = settings.topic(DEAD_LETTERS)
        self._group = f"{settings.topic('freshet-dead-letters')}-{topic}"
        self._known: dict[str, dict[int, int]] = {}
        self._reached: dict[str, dict[int, int]] = defaultdict(dict)

    def passed(self, letter: Letter) -> bool:
        """Whether an earlier replay sent this letter."""
        if letter.reason not in self._known:
            self._known[letter.reason] = self._committed(letter.reason)
        return letter.offset < self._known[letter.reason].get(letter.partition, 0)

    def reach(self, letter: Letter) -> None:
        """Notes that a letter is being sent; letters come in order within a partition."""
        self._reached[letter.reason][letter.partition] = letter.offset + 1

    def save(self) -> None:
        """Commits what has been reached. Call it when Kafka has all of it."""
        for reason, offsets in self._reached.items():
            with_coordinator(self._commit, reason, offsets)

    def _committed(self, reason: str) -> dict[int, int]:
        group = f"{self._group}-{reason}"
        offsets = with_coordinator(self._admin.list_group_offsets, [group])[group]
        return {place.partition: at.offset for place, at in offsets.items() if place.topic == self._dead_letters}

    def _commit(self, reason: str, offsets: dict[int, int]) -> None:
        wanted = {TopicPartition(self._dead_letters, one): OffsetAndMetadata(at, "", -1) for one, at in offsets.items()}
        for error in self._admin.alter_group_offsets(f"{self._group}-{reason}", wanted).values():
            if error is not NoError:
                raise error()


def replay_letters(settings: KafkaSettings, topic: str, reason: str | None, dry_run: bool) -> Replay:
    """Sends the letters of one topic, or of one reason among them, that have not been replayed before.

    What is sent is the original key, bytes and headers; the key decides the partition, as for every record. The
    marks are saved when Kafka has confirmed all, so an interrupted replay is repeated, not lost.

    Raises:
        BrokerUnavailable, TopicError: the dead letters cannot be read.
        DeliveryError: Kafka did not take all; the next replay sends all of them again.
    """
    told = Replay()
    with connected(KafkaAdminClient, settings) as admin:
        marks = Marks(admin, settings, topic)
        chosen = _chosen(settings, settings.topic(topic), reason, marks, told)
        if dry_run:
            told.replayed.update(letter.reason for letter in chosen)
        else:
            _send(settings, chosen, marks, told)
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


def _send(settings: KafkaSettings, letters: Iterator[Letter], marks: Marks, told: Replay) -> None:
    failures: list[BaseException] = []
    options = {
        "acks": "all",
        "enable_idempotence": True,
        "allow_auto_create_topics": False,
        "max_request_size": RECORD_BYTES,
    }
    timeouts = {"delivery_timeout_ms": DELIVERY_MS, "request_timeout_ms": 10_000, "max_block_ms": BLOCK_MS}
    with connected(KafkaProducer, settings, **options, **timeouts) as producer:
        for letter in letters:
            producer.send(letter.topic, key=letter.key, value=letter.value, headers=list(letter.headers)).add_errback(
                failures.append
            )
            told.replayed[letter.reason] += 1
            marks.reach(letter)
            if told.replayed.total() % ON_THEIR_WAY == 0:
                producer.flush()
        producer.flush()  # ends after DELIVERY_MS at the latest
    if failures:
        raise DeliveryError(f"Kafka did not take {len(failures):,} of {told.replayed.total():,} letters: {failures[0]}")

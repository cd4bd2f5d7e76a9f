"""What Kafka's consumer groups say of a generation: how far its replay is, and where its workers go on."""

import hashlib
from collections.abc import Mapping
from typing import Any

from kafka import TopicPartition
from kafka.errors import NoError
from kafka.structs import OffsetAndMetadata

from cli.kafka_clients import with_coordinator
from domain.errors import ConfigError
from domain.settings import KafkaSettings
from domain.topics import STREAM_GROUP
from stream.backlog import committed
from stream.replay import SOURCES, Place


class GenerationGroups:
    """The consumer groups of one generation: that of its workers, and one that remembers how far its replay is.

    The second has a name that changes with all that decides what the replay comes to, so that one that is run
    again after a crash goes on only if it is the same.
    """

    def __init__(self, admin: Any, settings: KafkaSettings, plan: object = "") -> None:  # noqa: ANN401 - no types
        self._admin = admin
        self._topics = {settings.topic(name): name for name in SOURCES}
        self._names = {name: topic for topic, name in self._topics.items()}
        self._generation = settings.generation
        self._workers = settings.topic(STREAM_GROUP)
        print_ = hashlib.sha256(repr(plan).encode()).hexdigest()[:8]
        self._replay = f"{settings.topic_prefix}freshet-replay-{settings.generation}-{print_}"

    def read_by_workers(self) -> dict[Place, int]:
        """The offsets at which the generation's workers go on; empty if none ever worked."""
        return self._committed(self._workers)

    def replayed(self) -> dict[Place, int]:
        """The offsets at which the replay goes on; empty if it has not begun."""
        return self._committed(self._replay)

    def save(self, reached: Mapping[Place, int]) -> None:
        """Notes how far the replay is."""
        self._commit(self._replay, reached)

    def hand_over(self, reached: Mapping[Place, int]) -> None:
        """Lets the workers of the generation begin where the replay ended."""
        self._commit(self._workers, reached)

    def _committed(self, group: str) -> dict[Place, int]:
        offsets = with_coordinator(committed, self._admin, group)
        return {
            (self._topics[place.topic], place.partition): at
            for place, at in offsets.items()
            if place.topic in self._topics
        }

    def _commit(self, group: str, reached: Mapping[Place, int]) -> None:
        wanted = {
            TopicPartition(self._names[name], partition): OffsetAndMetadata(at, "", -1)
            for (name, partition), at in reached.items()
        }
        for error in with_coordinator(self._admin.alter_group_offsets, group, wanted).values():
            if error is not NoError:
                raise ConfigError(
                    f"Kafka did not take the offsets of group {group}: {error.__name__}. If workers with"
                    f" FRESHET_GENERATION={self._generation} run already, stop them and replay into another generation"
                )

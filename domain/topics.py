"""The Kafka topics: names, keys, partitions and how long they keep what. One table for all processes.

Topics that one worker reads together (`interactions`, `users`) have the same number of partitions and so
have the topics derived from them: the profile of a user lies in the partition of that number, and the
signals that a partition's events gave to an item lie in `item-signals` in the partition of that number.
That is how `item-signals` is keyed by item and source partition: the key is the item, the partition is
the source's, and compaction works within a partition.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

INTERACTIONS = "interactions"
USERS = "users"
ITEMS = "items"
USER_PROFILES = "user-profiles"
ITEM_EMBEDDINGS = "item-embeddings"
ITEM_SIGNALS = "item-signals"
MODELS = "models"
EXPOSURES = "exposures"
DEAD_LETTERS = "dead-letters"

STREAM_GROUP = "freshet-stream"
"""The workers' consumer group."""

DERIVED = (USER_PROFILES, ITEM_SIGNALS, ITEM_EMBEDDINGS)
"""What the workers compute from the other topics."""

OF_A_GENERATION = frozenset({*DERIVED, STREAM_GROUP})
"""What each generation has of its own (FRESHET_GENERATION): the derived topics, and how far the log has been read."""

ORIGINAL_HEADER = "original-"
"""In a dead letter, goes before the names of the headers that the record itself had."""

MARK_HEADER = "freshet-replayed"
"""On a record in `dead-letters` that is no letter: it marks how far a replay of them has come."""

DAY_MS = 86_400_000
TOMBSTONE_MS = DAY_MS
"""How long a deletion stays readable; a replica's snapshot older than this would bring deleted keys back."""

COMPACTION_LAG_MS = 3_600_000
"""How long an overwritten value stays readable: a worker that takes over the partition can mend a zombie's write."""


@dataclass(frozen=True)
class TopicSpec:
    """What a topic must look like. `partitions` is null where the deployment's setting says how many."""

    name: str
    key: str
    cleanup_policy: str
    retention_ms: int | None = None
    partitions: int | None = None
    max_message_bytes: int | None = None

    def config(self) -> dict[str, str]:
        """Kafka's own settings for the topic."""
        if self.cleanup_policy == "delete":
            size = {} if self.max_message_bytes is None else {"max.message.bytes": str(self.max_message_bytes)}
            return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms), **size}
        # The active segment is never compacted: a quiet topic must roll it (an hour) to be compacted at all.
        return {
            "cleanup.policy": "compact",
            "delete.retention.ms": str(TOMBSTONE_MS),
            "segment.ms": "3600000",
            "min.cleanable.dirty.ratio": "0.2",
            "min.compaction.lag.ms": str(COMPACTION_LAG_MS),
        }


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(INTERACTIONS, "user_id", "delete", retention_ms=-1),  # the source of truth: kept for good
    TopicSpec(USERS, "user_id", "compact"),
    TopicSpec(ITEMS, "item_id", "compact"),
    TopicSpec(USER_PROFILES, "user_id", "compact"),
    TopicSpec(ITEM_EMBEDDINGS, "item_id", "compact"),
    TopicSpec(ITEM_SIGNALS, "item_id, in the source partition", "compact"),
    TopicSpec(MODELS, "name", "compact", partitions=1),
    TopicSpec(EXPOSURES, "user_id", "delete", retention_ms=90 * DAY_MS),
    # A record may have Kafka's default of 1 MiB, and a dead letter is a record and its headers.
    TopicSpec(DEAD_LETTERS, "original key", "delete", retention_ms=30 * DAY_MS, max_message_bytes=2 * 1_048_576),
)


def faults(
    specs: Iterable[TopicSpec],
    partitions_by_topic: Mapping[str, int],
    configs: Mapping[str, Mapping[str, str]],
    wanted_partitions: int,
) -> list[str]:
    """Compares what a broker has with what Freshet needs.

    Args:
        specs: what is needed; the names are those that the broker sees, prefix and all.
        partitions_by_topic: the broker's topics and how many partitions each has.
        configs: what the broker says of each topic's settings; one that it does not report is not judged.
        wanted_partitions: FRESHET_PARTITIONS.

    Returns:
        One line for each fault, in the order of `specs`; empty if all is well.
    """
    return [
        fault
        for spec in specs
        for fault in _faults_of(
            spec,
            partitions_by_topic.get(spec.name),
            spec.partitions or wanted_partitions,
            configs.get(spec.name, {}),
        )
    ]


def _faults_of(spec: TopicSpec, partitions: int | None, wanted: int, config: Mapping[str, str]) -> Iterator[str]:
    name = f"topic {spec.name}"
    if partitions is None:
        yield f"{name} is missing"
        return
    if partitions != wanted:
        yield f"{name} has {partitions} partitions, not {wanted}; delete it or change FRESHET_PARTITIONS"
    policy = config.get("cleanup.policy", spec.cleanup_policy)
    if policy != spec.cleanup_policy:
        yield f"{name} has cleanup.policy={policy}, not {spec.cleanup_policy}; alter it on the broker"

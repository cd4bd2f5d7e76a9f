"""The Kafka topics: names, keys, partitions and how long they keep what. One table for all processes.

Topics that one worker reads together (`interactions`, `users`) have the same number of partitions and so
have the topics derived from them: the profile of a user lies in the partition of that number, and the
signals that a partition's events gave to an item lie in `item-signals` in the partition of that number.
That is how `item-signals` is keyed by item and source partition: the key is the item, the partition is
the source's, and compaction works within a partition.
"""

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

DAY_MS = 86_400_000
TOMBSTONE_MS = DAY_MS
"""How long a deletion stays readable; a replica's snapshot older than this would bring deleted keys back."""


@dataclass(frozen=True)
class TopicSpec:
    """What a topic must look like."""

    name: str
    key: str
    cleanup_policy: str
    retention_ms: int | None = None

    def config(self) -> dict[str, str]:
        """Kafka's own settings for the topic."""
        if self.cleanup_policy == "delete":
            return {"cleanup.policy": "delete", "retention.ms": str(self.retention_ms)}
        # The active segment is never compacted, so a quiet topic must roll it (an hour) to be compacted at all.
        return {
            "cleanup.policy": "compact",
            "delete.retention.ms": str(TOMBSTONE_MS),
            "segment.ms": "3600000",
            "min.cleanable.dirty.ratio": "0.2",
        }


TOPICS: tuple[TopicSpec, ...] = (
    TopicSpec(INTERACTIONS, "user_id", "delete", retention_ms=-1),  # the source of truth: kept until told otherwise
    TopicSpec(USERS, "user_id", "compact"),
    TopicSpec(ITEMS, "item_id", "compact"),
    TopicSpec(USER_PROFILES, "user_id", "compact"),
    TopicSpec(ITEM_EMBEDDINGS, "item_id", "compact"),
    TopicSpec(ITEM_SIGNALS, "item_id, in the source partition", "compact"),
    TopicSpec(MODELS, "name", "compact"),
    TopicSpec(EXPOSURES, "user_id", "delete", retention_ms=90 * DAY_MS),
    TopicSpec(DEAD_LETTERS, "original key", "delete", retention_ms=30 * DAY_MS),
)

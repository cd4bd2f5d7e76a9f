"""How far a replica has read, of which log, and whether reading may go on from there."""

from collections.abc import Generator, Mapping
from contextlib import closing
from typing import NamedTuple

import msgspec
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from domain.errors import BrokerUnavailable
from domain.settings import KafkaSettings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, USER_PROFILES

RESUMED = (ITEMS, ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES)
"""The topics that reading goes on in. `models` is small, and always read whole."""

ASKING_MS = 5_000

Partition = tuple[str, int]


class Origin(msgspec.Struct, frozen=True):
    """Which log it is: the cluster's id, and the id of each topic; a topic that is made again gets another."""

    cluster: str
    topics: dict[str, str]


class Place(msgspec.Struct, frozen=True):
    """Where a replica's memory stands.

    Attributes:
        origin: what it was read from.
        offsets: by topic and partition, the next record to read; everything before it has been applied.
        current_ms: at this moment nothing was written that it does not reflect. Deletions stay readable for
            a day after they were made, so what was deleted later than this can be missed only after a day.
    """

    origin: Origin
    offsets: dict[str, dict[int, int]]
    current_ms: int


class Fault(NamedTuple):
    """Why what was read cannot be gone on from: a word for the metric, a sentence for the log."""

    reason: str
    detail: str


def origins(settings: KafkaSettings) -> Generator[Origin, None, None]:
    """Asks Kafka again and again which log it has, over one connection; aiokafka cannot say the ids of topics.

    After an error it has ended.

    Raises:
        BrokerUnavailable: no answer, or not about every topic.
    """
    try:
        admin = KafkaAdminClient(
            **settings.kafka_options(), bootstrap_timeout_ms=ASKING_MS, request_timeout_ms=ASKING_MS
        )
        with closing(admin):
            while True:
                yield _told(admin, settings)
    except KafkaError as error:
        raise BrokerUnavailable(f"Kafka at {settings.bootstrap_servers}: {error}") from None


def _told(admin: KafkaAdminClient, settings: KafkaSettings) -> Origin:
    told = admin.describe_topics([settings.topic(name) for name in RESUMED])
    missing = [topic["name"] for topic in told if topic["error_code"]]
    if missing:  # or a broker that has just come back does not know them yet
        raise BrokerUnavailable(f"Kafka at {settings.bootstrap_servers} has no topic {missing[0]}")
    topics = {topic["name"]: str(topic.get("topic_id")) for topic in told}
    return Origin(str(admin.describe_cluster().get("cluster_id")), topics)


def too_old(place: Place, now_ms: int, max_age_s: float) -> Fault | None:
    """Returns a fault if deletions may have been missed since."""
    age_s = (now_ms - place.current_ms) / 1000
    if age_s <= max_age_s:
        return None
    return Fault("too_old", f"up to date {age_s:,.0f} s ago; FRESHET_SNAPSHOT_MAX_AGE_S is {max_age_s:,.0f}")


def fault_of(place: Place, origin: Origin, begins: Mapping[Partition, int]) -> Fault | None:
    """Returns why reading cannot go on from a place in this log; `begins` are the first offsets there are."""
    if place.origin.cluster != origin.cluster:
        return Fault("cluster", f"it was read from cluster {place.origin.cluster}, this is {origin.cluster}")
    for topic, told in sorted(origin.topics.items()):
        if place.origin.topics.get(topic) != told:
            return Fault("topic", f"topic {topic} was made again since")
    offsets = {(topic, one): offset for topic, by in place.offsets.items() for one, offset in by.items()}
    if offsets.keys() != begins.keys():
        return Fault("partitions", f"{len(offsets)} partitions were read, there are {len(begins)} now")
    for (topic, partition), offset in sorted(offsets.items()):
        if offset < begins[topic, partition]:
            return Fault("gap", f"{topic}/{partition}@{offset} is gone; it begins at {begins[topic, partition]}")
    return None

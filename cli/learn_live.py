"""`freshet learn` on Kafka: catches up, then follows the topics and publishes what was learned."""

import logging
import time
from collections.abc import Iterator
from threading import Event
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from cli import model_store
from cli.judging.exposed import WINDOW_MS
from cli.judging.judge import LEARN_TOGETHER
from cli.judging.world import World
from cli.kafka_clients import connected
from cli.learner import Learner
from cli.letters import STALL_S, WHOLE_FETCHES
from cli.model_topic import read_contents
from cli.progress import progress
from cli.topic_records import records_of
from cli.training_log import in_order_of_arrival
from domain.clock import DAY_MS, system_clock
from domain.codecs import unpack
from domain.errors import BrokerUnavailable, DeliveryError, EventError, TopicError
from domain.interactions import Interaction
from domain.log_reader import LogRecord
from domain.records import decode
from domain.settings import KafkaSettings, ServingSettings
from domain.topics import EXPOSURES, INTERACTIONS, ITEM_EMBEDDINGS, ITEMS, MODELS, USER_PROFILES, USERS
from embeddings.item_embedding import ItemEmbedding, to_vector

log = logging.getLogger(__name__)

FOLLOWED = (USERS, ITEMS, ITEM_EMBEDDINGS, MODELS, EXPOSURES, INTERACTIONS)
BOOTSTRAP = 20_000
"""Without an active ranker, so many of the newest interactions are learned from."""


class Feed:
    """The followed topics, all partitions, without a group."""

    def __init__(self, consumer: Any, settings: KafkaSettings) -> None:  # noqa: ANN401 - kafka-python has no types
        """Assigns every partition, from the beginning.

        Raises:
            TopicError: a topic is missing.
        """
        self._consumer = consumer
        self._name_of = {settings.topic(name): name for name in FOLLOWED}
        self._partitions: list[TopicPartition] = []
        for topic in self._name_of:
            found = sorted(consumer.partitions_for_topic(topic) or ())
            if not found:
                raise TopicError(f"topic {topic} is missing; run: freshet topics create")
            self._partitions += [TopicPartition(topic, one) for one in found]
        consumer.assign(self._partitions)
        consumer.seek_to_beginning(*self._partitions)

    def to_ends(self) -> Iterator[tuple[str, Any]]:
        """Gives (topic's name in the design, record) up to the ends seen at the start.

        Raises:
            BrokerUnavailable: Kafka stopped answering.
        """
        ends = self._consumer.end_offsets(self._partitions)
        deadline = time.monotonic() + STALL_S
        while any(self._consumer.position(one) < end for one, end in ends.items()):
            found = self.poll(500)
            yield from found
            if found:
                deadline = time.monotonic() + STALL_S
            elif time.monotonic() > deadline:
                raise BrokerUnavailable(f"Kafka gave nothing for {STALL_S:g} s, though there is more; try again")

    def poll(self, timeout_ms: int) -> list[tuple[str, Any]]:
        """Returns what came, merged by the time of arrival."""
        batches = self._consumer.poll(timeout_ms=timeout_ms).values()
        records = in_order_of_arrival(record for batch in batches for record in batch)
        return [(self._name_of[record.topic], record) for record in records]


def run(settings: ServingSettings, every_s: float, stopping: Event) -> None:
    """Learns until `stopping` is set; publishes every `every_s` seconds if anything was learned, and at the end.

    Raises:
        BrokerUnavailable, TopicError: Kafka cannot be read at the start. Later it is waited for.
    """
    options = {
        "group_id": None,
        "enable_auto_commit": False,
        "auto_offset_reset": "earliest",
        "max_poll_records": WHOLE_FETCHES,
        "fetch_max_wait_ms": settings.fetch_max_wait_ms,
        "allow_auto_create_topics": False,
    }
    with connected(KafkaConsumer, settings, **options) as consumer:
        feed = Feed(consumer, settings)
        learner = caught_up(feed, settings)
        log.info("caught up: %d interactions, learned from %d", learner.world.offset, learner.learned)
        due_s = time.monotonic()  # what was learned on the way goes out at once
        while not stopping.is_set():
            if time.monotonic() >= due_s:
                publish(learner, settings)
                due_s = time.monotonic() + every_s
            for topic, record in feed.poll(200):
                follow(learner, topic, record)
        publish(learner, settings)


def caught_up(feed: Feed, settings: ServingSettings) -> Learner:
    """Returns a learner that knows all there is, and has learned from what came after the active ranker was made.

    Without an active ranker it learns from the newest BOOTSTRAP interactions.
    """
    created_ms = _created(settings)
    since_ms = system_clock() - DAY_MS if created_ms is None else created_ms
    by_topic: dict[str, list[Any]] = {name: [] for name in FOLLOWED}
    for topic, record in progress(feed.to_ends(), "reading", "records"):
        if topic != EXPOSURES or record.timestamp >= since_ms - WINDOW_MS:
            by_topic[topic].append(record)
    learner = Learner(World(settings, _width(settings, by_topic[ITEM_EMBEDDINGS])))
    for record in records_of(settings, USER_PROFILES):
        learner.forgotten((record.key or b"").decode("utf-8", "replace"), record.value)
    learner.forget(by_topic[USERS])
    interactions = in_order_of_arrival(by_topic[INTERACTIONS])
    for records in (_known_since(by_topic[ITEMS], interactions), by_topic[ITEM_EMBEDDINGS], by_topic[MODELS]):
        learner.describe(records)
    old = max(0, len(interactions) - BOOTSTRAP)
    if created_ms is not None:
        old = next((at for at, one in enumerate(interactions) if one.timestamp > created_ms), len(interactions))
    parts = [interactions[at : min(at + LEARN_TOGETHER, old)] for at in range(0, old, LEARN_TOGETHER)]
    for part in progress(parts, f"replaying {old:,} events", "batches"):
        learner.restore(part)
    for record in progress(in_order_of_arrival(by_topic[EXPOSURES] + interactions[old:]), "learning", "events"):
        follow(learner, EXPOSURES if record.topic == settings.topic(EXPOSURES) else INTERACTIONS, record)
    return learner


def follow(learner: Learner, topic: str, record: Any) -> None:  # noqa: ANN401 - kafka-python has no types
    """Hands one record on."""
    if topic == INTERACTIONS:
        learner.interact(record)
    elif topic == EXPOSURES:
        learner.expose(record)
    elif topic == USERS:
        learner.forget([record])
    else:
        learner.describe([record])


def publish(learner: Learner, settings: KafkaSettings) -> None:
    """Publishes and promotes the weights, if anything was learned. If Kafka does not take them, the next time will."""
    if not learner.learned:
        return
    ranker = learner.world.model.ranker()
    told = f"{ranker.learned:,} choices in all; freshet learn, after {learner.world.offset:,} interactions"
    try:
        manifest = model_store.publish(
            settings,
            "ranker",
            ranker.to_bytes(),
            metrics=learner.metrics(),
            comparison={},
            trained_on=told,
            promote=True,
        )
    except (BrokerUnavailable, DeliveryError, TopicError) as error:
        log.warning("not published, will try again: %s", error)
        return
    log.info("ranker %s is active, learned from %d more choices", manifest.version, learner.learned)
    learner.published(manifest.version)


def _created(settings: KafkaSettings) -> int | None:
    """When the active ranker was made, epoch ms; None if there is none that is whole."""
    contents = read_contents(settings)
    pointer = contents.pointer("ranker")
    versions = [] if pointer is None else [one for one in contents.versions("ranker") if one.version == pointer.version]
    return versions[0].created_ms() if versions and versions[0].is_whole() else None


def _width(settings: ServingSettings, embeddings: list[Any]) -> int:
    """Returns D of the text vectors; while there is none, what the encoder will give."""
    for record in reversed(embeddings):
        try:
            vector = None if record.value is None else to_vector(unpack(record.value, ItemEmbedding))
        except EventError:
            continue
        if vector is not None:
            return len(vector)
    from embeddings.transformer import TransformerEncoder  # noqa: PLC0415 - half a gigabyte, and rarely needed

    return TransformerEncoder(settings.embedding_model, settings.torch_threads).dimension


def _known_since(items: list[Any], interactions: list[Any]) -> list[LogRecord]:
    """Returns the items' records, none dated after the item's first interaction: events may be older than the load."""
    first: dict[str, int] = {}
    for record in interactions:
        try:
            one = decode(record.value or b"", Interaction)
        except EventError:
            continue
        first[one.item_id] = min(one.time_ms, first.get(one.item_id, one.time_ms))
    return [
        LogRecord(one.topic, one.partition, one.offset, min(one.timestamp, at), one.key, one.value)
        for one in items
        for at in [first.get((one.key or b"").decode("utf-8", "replace"), one.timestamp)]
    ]

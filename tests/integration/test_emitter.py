"""The emitter on a real broker: what it says it sent is there, and what it lost it says."""

import time
from collections.abc import Iterator

import msgspec
import pytest
from kafka import KafkaConsumer, TopicPartition
from kafka.consumer.fetcher import ConsumerRecord
from kafka.partitioner.default import murmur2

from cli.broker import EmbeddedBroker, free_port
from domain.clock import system_clock
from domain.errors import (
    BrokerUnavailable,
    DeliveryError,
    FutureEvent,
    MalformedEvent,
    TopicError,
    UnknownEventType,
)
from domain.interactions import InteractionType, decode_interaction
from domain.items import Item
from domain.positions import from_token
from domain.settings import KafkaSettings, load_settings
from domain.topics import INTERACTIONS, ITEMS, USERS
from freshet import Emitter, Interaction, Position, producer
from stream.topic_admin import create_topics

NOW_MS = time.time_ns() // 1_000_000


def click(event_id: str = "e1", user_id: str = "u1", **more: object) -> Interaction:
    return Interaction(event_id=event_id, type="click", user_id=user_id, item_id="i1", event_time=NOW_MS, **more)


def read_topic(settings: KafkaSettings, name: str) -> list[ConsumerRecord]:
    """All records, by partition and offset; without a group, which is slow on the embedded broker.

    Whole fetches are taken, however far they reach: the embedded broker's end may be the first record of
    its last batch plus one.
    """
    consumer = KafkaConsumer(
        **settings.kafka_options(),
        fetch_max_wait_ms=settings.fetch_max_wait_ms,
        max_poll_records=1_000_000,
        group_id=None,
        enable_auto_commit=False,
    )
    partitions = [TopicPartition(settings.topic(name), number) for number in range(settings.partitions)]
    consumer.assign(partitions)
    consumer.seek_to_beginning()
    ends = consumer.end_offsets(partitions)
    records: list[ConsumerRecord] = []
    while any(consumer.position(partition) < end for partition, end in ends.items()):
        for batch in consumer.poll(timeout_ms=100).values():
            records += batch
    consumer.close()
    return sorted(records, key=lambda record: (record.partition, record.offset))


@pytest.fixture
def emitter(settings: KafkaSettings) -> Iterator[Emitter]:
    with Emitter(settings) as emitter:
        yield emitter


def test_an_event_lies_where_its_delivery_says(settings: KafkaSettings, emitter: Emitter) -> None:
    deliveries = [emitter.emit(click(f"e{n}", f"u{n % 7}", value=0.5)) for n in range(50)]
    positions = [delivery.position() for delivery in deliveries]
    stored = {Position(record.partition, record.offset): record for record in read_topic(settings, INTERACTIONS)}
    assert set(stored) == set(positions)
    for n, position in enumerate(positions):
        assert decode_interaction(stored[position].value, NOW_MS) == click(f"e{n}", f"u{n % 7}", value=0.5)


def test_a_token_names_the_position(emitter: Emitter) -> None:
    delivery = emitter.emit(click())
    assert from_token(delivery.token()) == delivery.position()


def test_a_users_events_share_a_partition_that_other_clients_compute_alike(
    settings: KafkaSettings, emitter: Emitter
) -> None:
    for n in range(40):
        emitter.emit(click(f"e{n}", f"u{n % 10}"))
    emitter.flush()
    for record in read_topic(settings, INTERACTIONS):
        assert record.partition == (murmur2(record.key) & 0x7FFFFFFF) % settings.partitions


def test_a_users_events_keep_their_order(settings: KafkaSettings, emitter: Emitter) -> None:
    for n in range(2_000):
        emitter.emit(click(f"e{n:04}"))
    emitter.flush()
    order = [msgspec.json.decode(record.value)["event_id"] for record in read_topic(settings, INTERACTIONS)]
    assert order == [f"e{n:04}" for n in range(2_000)]


def test_a_dict_is_sent_as_its_struct_is(settings: KafkaSettings, emitter: Emitter) -> None:
    emitter.emit(click())
    emitter.emit(
        {
            "event_id": "e1",
            "type": "click",
            "user_id": "u1",
            "item_id": "i1",
            "event_time": NOW_MS,
            "colour": "red",
        }
    )
    emitter.flush()
    first, second = read_topic(settings, INTERACTIONS)
    assert first.value == second.value and first.key == b"u1"


def test_items_users_and_deletions_reach_their_topics(settings: KafkaSettings, emitter: Emitter) -> None:
    emitter.emit_item(Item(item_id="i1", title="One", published_at="2026-01-01T00:00:00Z"))
    emitter.delete_item("i1")
    emitter.change_user({"user_id": "guest", "action": "merge", "target": "login", "event_time": NOW_MS})
    emitter.flush()
    added, deleted = read_topic(settings, ITEMS)
    assert msgspec.json.decode(added.value) == {
        "item_id": "i1",
        "title": "One",
        "published_at": 1_767_225_600_000,
    }
    assert (added.key, deleted.key, deleted.value) == (b"i1", b"i1", None)
    (change,) = read_topic(settings, USERS)
    assert change.key == b"guest"


def test_what_is_wrong_is_refused_before_it_is_sent(settings: KafkaSettings, emitter: Emitter) -> None:
    with pytest.raises(MalformedEvent, match="missing required field `type`"):
        emitter.emit({"event_id": "e1"})
    with pytest.raises(MalformedEvent, match="dwell_ms: expected"):
        emitter.emit(click(dwell_ms=-5))
    with pytest.raises(UnknownEventType):
        emitter.emit({**msgspec.to_builtins(click()), "type": "share"})
    with pytest.raises(FutureEvent):
        emitter.emit({**msgspec.to_builtins(click()), "event_time": system_clock() + 1_000_000})
    with pytest.raises(MalformedEvent, match="item_id"):
        emitter.delete_item("")
    emitter.flush()
    assert read_topic(settings, INTERACTIONS) == []


def test_a_configured_type_is_known(settings: KafkaSettings) -> None:
    shared = settings.model_copy(update={"interaction_types": {"share": InteractionType(weight=2.0)}})
    with Emitter(shared) as emitter:
        emitter.emit({**msgspec.to_builtins(click()), "type": "share"}).position()


def test_a_closed_emitter_says_so(settings: KafkaSettings) -> None:
    emitter = Emitter(settings)
    emitter.close()
    emitter.close()
    with pytest.raises(DeliveryError, match="closed"):
        emitter.emit(click())


def test_no_broker_is_one_error_that_names_the_address_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(producer, "BLOCK_MS", 300)
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=rf"{nowhere} does not answer.*freshet broker"):
        Emitter(load_settings(KafkaSettings, bootstrap_servers=nowhere))


def test_a_missing_topic_is_told_from_a_missing_broker(
    kafka: str, overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if request.node.callspec.params["kafka"] == "embedded":
        pytest.skip("the embedded broker creates topics unasked")
    monkeypatch.setattr(producer, "BLOCK_MS", 500)
    with (
        Emitter(load_settings(KafkaSettings, **overrides)) as emitter,
        pytest.raises(TopicError, match=r"no topic t\w+-interactions; run: freshet topics create"),
    ):
        emitter.emit(click())


class TestWithABrokerThatGoesAway:
    """A broker of the test's own, because it is killed."""

    @pytest.fixture
    def broker(self) -> Iterator[EmbeddedBroker]:
        with EmbeddedBroker() as broker:
            yield broker

    @pytest.fixture
    def own(self, broker: EmbeddedBroker) -> KafkaSettings:
        settings = load_settings(KafkaSettings, bootstrap_servers=broker.bootstrap_servers)
        create_topics(settings)
        return settings

    def test_the_end_of_the_block_raises_what_was_lost(self, broker: EmbeddedBroker, own: KafkaSettings) -> None:
        heard: list[DeliveryError] = []
        emitter = Emitter(own, on_error=heard.append)
        emitter.emit(click()).position()
        broker.close()
        delivery = emitter.emit(click("e2"))
        emitter.emit(click("e3"))
        with pytest.raises(BrokerUnavailable, match="not confirmed the record after 0.2 s"):
            delivery.position(timeout_s=0.2)
        with pytest.raises(BrokerUnavailable, match="does not answer"):
            emitter.flush(timeout_s=0.2)
        with pytest.raises(DeliveryError, match=r"2 records were lost.*'u1' for interactions"):
            emitter.close(timeout_s=0.2)
        assert emitter.lost == len(heard) == 2
        with pytest.raises(DeliveryError, match="did not take the record"):
            delivery.position()

    def test_a_loss_does_not_hide_the_programs_own_error(self, broker: EmbeddedBroker, own: KafkaSettings) -> None:
        with pytest.raises(ZeroDivisionError) as own_error, Emitter(own) as emitter:  # noqa: PT012
            emitter.emit(click()).position()
            broker.close()
            emitter.emit(click("e2"))
            1 / 0  # noqa: B018
        assert "Besides: 1 records were lost" in own_error.value.__notes__[0]

    def test_memory_is_bounded_while_the_broker_is_away(
        self, broker: EmbeddedBroker, own: KafkaSettings, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(producer, "MAX_PENDING", 10)
        monkeypatch.setattr(producer, "BLOCK_MS", 300)
        emitter = Emitter(own)
        emitter.emit(click()).position()
        broker.close()
        for n in range(10):
            emitter.emit(click(f"a{n}"))
        with pytest.raises(BrokerUnavailable, match="10 records wait for it"):
            emitter.emit(click("one too many"))
        with pytest.raises(DeliveryError, match="10 records were lost"):
            emitter.close(timeout_s=0.1)

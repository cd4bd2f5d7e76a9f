"""Whatever Kafka did not take, an Emitter goes on with the records after it."""

import time

import pytest
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

import freshet.producer
from domain.clock import system_clock
from domain.errors import DeliveryError
from domain.interactions import Interaction, decode_interaction
from domain.settings import KafkaSettings
from domain.topics import INTERACTIONS
from freshet import Emitter
from freshet.producer import Delivery
from tests.apache_kafka import ApacheKafka
from tests.integration.test_emitter import read_topic

DELIVERY_MS, AWAY_S = 5_000, 8.0
LARGE = {f"note {at}": "x" * 250 for at in range(4)}


def click(number: int, **fields: object) -> Interaction:
    return Interaction(
        event_id=f"e{number}",
        type="click",
        user_id=f"u{number % 20}",
        item_id="i",
        event_time=system_clock(),
        **fields,
    )


def is_lost(delivery: Delivery) -> bool:
    try:
        delivery.position()
    except DeliveryError:
        return True
    return False


def test_an_emitter_goes_on_after_an_outage_that_was_longer_than_its_patience(
    node: ApacheKafka, settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(freshet.producer, "DELIVERY_MS", DELIVERY_MS)
    monkeypatch.setitem(freshet.producer.IN_ORDER, "request_timeout_ms", DELIVERY_MS // 2)
    given_up: list[DeliveryError] = []
    emitter = Emitter(settings, on_error=given_up.append)
    for number in range(200):
        emitter.emit(click(number))
    emitter.flush()
    node.freeze()  # what is sent now was sent once when its time has come
    deliveries = {}
    for number in range(200, 400):
        deliveries[number] = emitter.emit(click(number))
        time.sleep(0.005)
    node.kill()
    time.sleep(AWAY_S)
    node.thaw()
    node.start()
    read_topic(settings, INTERACTIONS)  # the broker serves it again
    emitter.emit(click(400)).position(60)
    with pytest.raises(DeliveryError, match="records were lost"):
        emitter.close()
    now, records = system_clock(), read_topic(settings, INTERACTIONS)
    stored = {decode_interaction(record.value, now).event_id for record in records}
    lost = {f"e{number}" for number, one in deliveries.items() if is_lost(one)}
    assert emitter.lost == len(given_up) == len(lost) > 0
    assert stored | lost == {f"e{number}" for number in range(401)}  # what was given up may have arrived all the same


def take_no_more_than(size: int, settings: KafkaSettings) -> None:
    """Bounds the records of `interactions`, and waits until the broker does so: it says yes before."""
    admin = KafkaAdminClient(**settings.kafka_options())
    name = settings.topic(INTERACTIONS)
    admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, {"max.message.bytes": str(size)})])
    admin.close()
    probe, ends = Emitter(settings, linger_ms=0), time.monotonic() + 30
    while not is_lost(probe.emit(click(100, context=LARGE))):
        assert time.monotonic() < ends
    with pytest.raises(DeliveryError):
        probe.close()


def test_a_record_that_is_too_large_for_its_topic_takes_no_other_with_it(node: ApacheKafka, settings: KafkaSettings):
    take_no_more_than(600, settings)
    emitter = Emitter(settings, linger_ms=200)
    small = [emitter.emit(click(number)) for number in range(5)]
    large = emitter.emit(click(5, context=LARGE))
    small += [emitter.emit(click(number)) for number in range(6, 10)]
    with pytest.raises(DeliveryError, match="MessageSizeTooLarge|too large|larger"):
        large.position()
    assert len({one.position() for one in small}) == 9
    assert emitter.emit(click(10)).position().offset >= 0
    with pytest.raises(DeliveryError, match="1 records were lost"):
        emitter.close()

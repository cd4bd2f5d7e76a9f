"""Compaction really happens: what is left of the topics is the same state, to a worker and to a replica."""

from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from domain.settings import KafkaSettings
from domain.topics import TOPICS, USER_PROFILES
from freshet import Emitter
from tests.integration.test_emitter import read_topic
from tests.integration.test_system import clicks
from tests.kafka.load import ITEMS, PROFILE_SIZE, behaviour, expected_hashes, remembered
from tests.system import System

EAGER = {
    "segment.ms": "100",
    "segment.bytes": "1048576",
    "min.cleanable.dirty.ratio": "0.001",
    "min.compaction.lag.ms": "0",
    "delete.retention.ms": "0",
}


def test_a_worker_and_a_replica_restored_from_compacted_topics_have_the_state_of_those_that_wrote_them(
    system: System, settings: KafkaSettings
):
    compact_at_once(settings)
    worker = system.start_worker(profile_size=PROFILE_SIZE)
    replica = system.start_replica(search=False)
    system.send_items(ITEMS)
    events = clicks(1, 800, 1)
    for at in range(0, 400, 50):  # so that each profile is written several times
        system.learned(system.send(events[at : at + 50]))
    with Emitter(settings) as emitter:
        emitter.delete_item(ITEMS[0].item_id)
    system.embedded(len(ITEMS) - 1)
    before = system.replica_hashes()
    written = written_to(settings, USER_PROFILES)

    def is_compacted() -> bool:
        # A segment is rolled by a record that comes later; these clicks are old ones, and change nothing.
        system.learned(system.send(events[:8]))
        return len(read_topic(settings, USER_PROFILES)) < written / 3

    system.until(is_compacted)
    worker.kill()
    replica.kill()
    assert system.hashes() == before
    system.start_worker(profile_size=PROFILE_SIZE)
    system.start_replica(search=False)
    assert system.replica_hashes() == before
    system.learned(system.send(events[400:]))
    system.until(lambda: behaviour(system.replica_hashes()) == expected_hashes(settings))
    assert sum(map(len, remembered(settings).values())) == len(events)


def compact_at_once(settings: KafkaSettings) -> None:
    compacted = [settings.topic(spec.name) for spec in TOPICS if spec.cleanup_policy == "compact"]
    admin = KafkaAdminClient(**settings.kafka_options())
    try:
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, EAGER) for name in compacted])
    finally:
        admin.close()


def written_to(settings: KafkaSettings, name: str) -> int:
    """How many records a topic was given, whatever is left of them."""
    newest = {record.partition: record.offset for record in read_topic(settings, name)}
    return sum(offset + 1 for offset in newest.values())

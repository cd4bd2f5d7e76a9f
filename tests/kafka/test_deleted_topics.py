"""A topic is deleted under a running worker: it says which and what to run, and that is what mends it."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from kafka.admin import KafkaAdminClient

from domain.errors import TopicError
from domain.settings import KafkaSettings, StreamSettings, load_settings
from domain.topics import INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS, STREAM_GROUP, USER_PROFILES
from stream.membership import Membership
from stream.outbox import EXIT_BROKEN, Outbox
from stream.restore import restore_partition, restore_text_hashes
from stream.topic_admin import create_topics
from tests.integration.test_system import clicks
from tests.kafka.load import ITEMS, PROFILE_SIZE, behaviour, expected_hashes
from tests.system import System

pytestmark = pytest.mark.long  # tests/integration/test_lineage.py has its parts in the suite
DERIVED = (USER_PROFILES, ITEM_SIGNALS, ITEM_EMBEDDINGS)


def test_a_deleted_topic_ends_the_worker_with_what_to_do_and_doing_it_brings_everything_back(
    system: System, settings: KafkaSettings, overrides: dict[str, object]
):
    stream = load_settings(StreamSettings, **overrides)
    worker = system.start_worker(profile_size=PROFILE_SIZE)
    system.start_replica(search=False)
    system.send_items(ITEMS)
    system.learned(system.send(clicks(1, 300, 1)))
    system.embedded(len(ITEMS))
    before = system.hashes()

    delete(settings, [USER_PROFILES, ITEM_EMBEDDINGS])
    said = last_words_of(system, worker)
    assert f"topic {settings.topic(USER_PROFILES)} was deleted" in said
    assert "freshet topics create" in said and "docs/operations.md" in said
    create_topics(settings)
    with pytest.raises(TopicError, match=f"{settings.topic(USER_PROFILES)} was deleted.*nothing is left in partition"):
        restored(stream)
    with pytest.raises(TopicError, match=f"{settings.topic(ITEM_EMBEDDINGS)} was deleted"):
        for partition in range(settings.partitions):
            asyncio.run(restore_text_hashes(stream, partition, lambda: None))

    delete(settings, DERIVED)  # what it said
    system.until(lambda: group_is_deleted(settings))
    create_topics(settings)
    worker = system.start_worker(profile_size=PROFILE_SIZE)
    system.start_replica(search=False)
    system.until(lambda: system.replica_hashes() == before)
    assert behaviour(before) == expected_hashes(settings)

    delete(settings, [INTERACTIONS])
    create_topics(settings)
    assert f"topic {settings.topic(INTERACTIONS)} was deleted" in last_words_of(system, worker)
    system.send(clicks(2, 600, 2))  # more than before, so that only the events themselves tell the logs apart
    with pytest.raises(TopicError, match=f"{settings.topic(INTERACTIONS)} was deleted.*is another event"):
        restored(stream)


def restored(settings: StreamSettings) -> None:
    for partition in range(settings.partitions):
        # Nothing is to be mended here, so the outbox is never asked to write.
        asyncio.run(restore_partition(settings, partition, Outbox({}, Membership(6)), lambda: None))


def last_words_of(system: System, worker) -> str:
    system.until(lambda: worker.status() is not None, 40)
    assert worker.status() == EXIT_BROKEN
    return worker.last_words()


def delete(settings: KafkaSettings, names: Sequence[str]) -> None:
    with admin_of(settings) as admin:
        admin.delete_topics([settings.topic(name) for name in names])


def group_is_deleted(settings: KafkaSettings) -> bool:
    """Deletes the workers' group; Kafka refuses while it takes an ended worker for a member."""
    with admin_of(settings) as admin:
        group = settings.topic(STREAM_GROUP)
        admin.delete_groups([group])
        return group not in [one["group_id"] for one in admin.list_groups()]


@contextmanager
def admin_of(settings: KafkaSettings) -> Iterator[KafkaAdminClient]:
    admin = KafkaAdminClient(**settings.kafka_options())
    try:
        yield admin
    finally:
        admin.close()

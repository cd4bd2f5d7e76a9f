"""Restoring a partition on a real broker: state that belongs to its log is taken, state of a lost log is not."""

import asyncio

import msgspec
import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.structs import OffsetAndMetadata

from cli.kafka_clients import with_coordinator
from domain.codecs import pack
from domain.errors import TopicError
from domain.profile import Profile
from domain.settings import StreamSettings, load_settings
from domain.topics import INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, STREAM_GROUP, USER_PROFILES
from learning.signals_record import pack_share
from stream.membership import Membership
from stream.outbox import Outbox
from stream.partition_state import PartitionState
from stream.profile_updates import Rules, apply_interactions
from stream.restore import restore_partition, restore_text_hashes
from tests.builders import interaction, touch
from tests.integration.test_emitter import read_topic

EVENTS = [interaction("ann", f"i{n}", n) for n in range(5)]


class Partition:
    """Partition 0 of a deployment, and what a worker would have left there."""

    def __init__(self, overrides: dict[str, object]) -> None:
        self.settings = load_settings(StreamSettings, **overrides)
        self._producer = KafkaProducer(**self.settings.kafka_options(), acks="all")

    def put(self, name: str, *pairs: tuple[str, bytes]) -> None:
        for key, value in pairs:
            # One batch each: the embedded broker's end is the first record of its last batch plus one.
            self._producer.send(self.settings.topic(name), key=key.encode(), value=value, partition=0).get(10)

    def read_to(self, name: str, offset: int) -> None:
        """The group has committed so far."""
        admin = KafkaAdminClient(**self.settings.kafka_options())
        place = TopicPartition(self.settings.topic(name), 0)
        wanted = {place: OffsetAndMetadata(offset, "", -1)}
        with_coordinator(admin.alter_group_offsets, self.settings.topic(STREAM_GROUP), wanted)
        admin.close()

    def work(self) -> PartitionState:
        """Does with the log what a worker does, and returns the state."""
        state = PartitionState()
        log = [one for one in read_topic(self.settings, INTERACTIONS) if one.partition == 0]
        outcome = apply_interactions(state, log, Rules(self.settings.all_interaction_types(), 200))
        self.put(ITEM_SIGNALS, *[(item, pack_share(one)) for item, one in outcome.signals.items()])
        self.put(USER_PROFILES, *outcome.profiles.items())
        self.read_to(INTERACTIONS, len(log))
        return state

    def restored(self) -> PartitionState:
        outbox = Outbox(self.settings.kafka_options(), Membership(6))  # not started: nothing is to be mended here
        return asyncio.run(restore_partition(self.settings, 0, outbox, lambda: None))

    def close(self) -> None:
        self._producer.close()


def raw(*events) -> list[tuple[str, bytes]]:
    return [(one.user_id, msgspec.json.encode(one)) for one in events]


@pytest.fixture
def partition(settings, overrides):
    one = Partition(overrides)
    yield one
    one.close()


def test_state_that_belongs_to_its_log_is_taken(partition: Partition):
    partition.put(INTERACTIONS, *raw(*EVENTS))
    written = partition.work()
    restored = partition.restored()
    assert (restored.profiles, restored.signals) == (written.profiles, written.signals)


def test_nothing_and_nothing_but_refused_records_is_no_loss(partition: Partition):
    assert not partition.restored().profiles
    partition.put(INTERACTIONS, ("ann", b"{"), ("bob", b"7"))
    partition.read_to(INTERACTIONS, 2)
    assert not partition.restored().profiles


def test_profiles_that_reflect_more_than_the_log_has_are_of_another_log(partition: Partition):
    partition.put(INTERACTIONS, *raw(EVENTS[0]))
    partition.work()
    partition.put(USER_PROFILES, ("bob", profile_at(99)))
    with pytest.raises(TopicError, match=r"interactions was deleted.* offset 99 of partition 0 is another event"):
        partition.restored()


def test_an_event_that_is_not_the_one_remembered_is_of_another_log(partition: Partition):
    partition.put(INTERACTIONS, *raw(*EVENTS))
    partition.put(USER_PROFILES, ("bob", profile_at(4)))
    with pytest.raises(TopicError, match=r"interactions was deleted.* offset 4 of partition 0 is another event"):
        partition.restored()


def test_changes_past_the_end_of_users_are_of_another_log(partition: Partition):
    partition.put(USER_PROFILES, ("bob", pack(Profile(changes_position=7, opted_out=True))))
    with pytest.raises(TopicError, match="users was deleted.* partition 0 ends before offset 7"):
        partition.restored()


def test_events_that_were_read_and_left_no_trace_mean_that_the_trace_is_lost(partition: Partition):
    partition.put(INTERACTIONS, ("ann", b"{"), *raw(*EVENTS))
    partition.read_to(INTERACTIONS, 1)
    assert not partition.restored().profiles  # what comes after has not been read yet
    partition.read_to(INTERACTIONS, 3)
    with pytest.raises(TopicError, match=f"{USER_PROFILES} was deleted.*nothing is left in partition 0"):
        partition.restored()


def test_items_that_were_read_and_have_no_embedding_mean_that_the_embeddings_are_lost(partition: Partition):
    def restored() -> dict[str, bytes]:
        return asyncio.run(restore_text_hashes(partition.settings, 0, lambda: None))

    partition.put(ITEMS, ("i1", b'{"item_id": "i1", "title": "one"}'))
    assert restored() == {}  # not read yet
    partition.read_to(ITEMS, 1)
    with pytest.raises(TopicError, match=f"{ITEM_EMBEDDINGS} was deleted"):
        restored()


def profile_at(offset: int) -> bytes:
    """A profile that remembers one event, read at that offset."""
    return pack(Profile(touches=(touch(1, offset=offset),), position=offset))

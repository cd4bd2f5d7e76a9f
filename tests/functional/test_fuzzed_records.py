"""A hundred thousand hostile records through the worker's own agents: none ends it, and none disappears.

Each is either applied, which the state proves, or a dead letter with its very bytes; both are counted.
Thousands go through a real broker and a worker process in tests/integration/test_hostile_records.py.
"""

import asyncio
import json
import random
from collections.abc import Iterator, Sequence
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from prometheus_client import REGISTRY

from domain.errors import EventError
from domain.interactions import Interaction
from domain.items import Item
from domain.log_reader import LogRecord
from domain.settings import StreamSettings, load_settings
from domain.topics import DEAD_LETTERS, INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, MODELS, USER_PROFILES, USERS
from domain.users import UserChange
from embeddings.transformer import TransformerEncoder
from stream.agents import Agents
from stream.membership import Membership
from stream.outbox import Effects, Outbox, Write
from stream.owned_partitions import OwnedPartitions
from stream.partition_state import PartitionState
from tests.builders import START_MS, Deployment
from tests.hostile_records import hostile_records

RECORDS = {INTERACTIONS: 50_000, USERS: 25_000, ITEMS: 25_000}
BATCH = 500
ERRORS: list[type[EventError]] = [EventError, *EventError.__subclasses__()]
REASONS = {one.reason.encode() for one in ERRORS}


class MemoryOutbox(Outbox):
    """Keeps what the agents write instead of sending it to Kafka."""

    def __init__(self) -> None:
        super().__init__({}, Membership(60))
        self.writes: list[Write] = []

    async def put(self, effects: Effects) -> None:
        writes = [*effects.first, *effects.then]
        assert all(one.partition is not None or (one.key, one.value) != (None, None) for one in writes)  # as aiokafka
        self.writes += writes

    def taken(self) -> list[Write]:
        writes, self.writes = self.writes, []
        return writes


class Bench:
    """A worker without Kafka: its agents over empty partitions. The guard is off, for most records here are bad."""

    def __init__(self, encoder: TransformerEncoder) -> None:
        self.outbox = MemoryOutbox()
        self.offsets = count()
        self.users: dict[int, PartitionState] = {}
        self.items: dict[int, dict[str, bytes]] = {}
        settings = load_settings(StreamSettings, dead_letter_max_share=1.0, dead_letter_max_in_a_row=0)
        owned_users = OwnedPartitions(self._users)
        owned_items = OwnedPartitions(self._items)
        agents = Agents(settings, self.outbox, encoder, owned_users, owned_items)
        self._bodies = {INTERACTIONS: agents.interactions, USERS: agents.user_changes, ITEMS: agents.items}

    async def _users(self, partition: int) -> PartitionState:
        return self.users.setdefault(partition, PartitionState())

    async def _items(self, partition: int) -> dict[str, bytes]:
        return self.items.setdefault(partition, {})

    def feed(self, records: Sequence[LogRecord]) -> list[Write]:
        """Runs one batch and returns what it wrote."""
        asyncio.run(self._bodies[records[0].topic](records[0].partition, records))
        return self.outbox.taken()

    def is_applied(self, record: LogRecord) -> bool:
        """Whether the state shows that this record was dealt with."""
        name = (record.key or b"").decode()
        state = self.users.get(record.partition, PartitionState())
        match record.topic:
            case "interactions":
                return state.profile(name).position >= record.offset
            case "users":
                return state.profile(name).changes_position >= record.offset
            case _:
                return record.value is None or name in self.items[record.partition]


def dead(writes: Sequence[Write]) -> dict[int, Write]:
    """The dead letters among what was written, by the offset that they say they come from."""
    letters = [one for one in writes if one.topic == DEAD_LETTERS]
    by_offset = {int(dict(one.headers)["offset"]): one for one in letters}
    assert len(by_offset) == len(letters)  # one letter a record
    return by_offset


def holds_its_record(letter: Write, record: LogRecord) -> None:
    headers = dict(letter.headers)
    assert (letter.key, letter.value) == (record.key, record.value)
    assert headers["topic"].decode() == record.topic and int(headers["partition"]) == record.partition
    assert headers["reason"] in REASONS
    detail = headers["detail"].decode()
    assert detail and "Traceback" not in detail and 'File "' not in detail
    assert [one for one in letter.headers if one[0].startswith("original-")] == [
        (f"original-{name}", raw) for name, raw in record.headers
    ]


def counted(bench: Bench, records: Sequence[LogRecord]) -> tuple[int, int]:
    """Feeds one batch; returns how many records were applied and how many became dead letters."""
    letters = dead(bench.feed(records))
    applied = [one for one in records if one.offset not in letters]
    for record in records:
        if record.offset in letters:
            holds_its_record(letters[record.offset], record)
    deleted_since = {one.key for one in applied if one.topic == ITEMS and one.value is None}
    lost = [one for one in applied if one.key not in deleted_since and not bench.is_applied(one)]
    assert not lost, lost[:3]
    return len(applied), len(letters)


@pytest.fixture(scope="module")
def bench(encoder: TransformerEncoder) -> Bench:
    return Bench(encoder)


def metric(name: str) -> float:
    """The sum of a counter over its labels."""
    return sum(one.value for family in REGISTRY.collect() for one in family.samples if one.name == f"{name}_total")


def batches(topic: str, number: int) -> Iterator[list[LogRecord]]:
    rng = random.Random(topic)
    for at in range(0, number, BATCH):
        partition = rng.randrange(4)
        yield hostile_records(topic, rng, min(BATCH, number - at), partition, start=at)


@pytest.mark.parametrize("topic", RECORDS)
def test_of_a_hundred_thousand_mutated_records_each_is_applied_or_a_dead_letter(bench: Bench, topic: str) -> None:
    before = metric("freshet_stream_interactions"), metric("freshet_stream_dead_letters")
    applied = letters = 0
    for batch in batches(topic, RECORDS[topic]):
        more = counted(bench, batch)
        applied, letters = applied + more[0], letters + more[1]
    assert applied + letters == RECORDS[topic]
    assert applied > RECORDS[topic] / 5 and letters > RECORDS[topic] / 5  # both ways are gone
    assert metric("freshet_stream_dead_letters") - before[1] == letters
    if topic == INTERACTIONS:
        assert metric("freshet_stream_interactions") - before[0] == applied


@pytest.mark.parametrize("topic", [ITEMS, ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES, MODELS])
def test_a_replica_that_reads_such_bytes_goes_on(encoder: TransformerEncoder, topic: str) -> None:
    model = Deployment(encoder).replica.model
    for batch in batches(ITEMS, 2_000):
        model.apply([replace(one, topic=topic) for one in batch])
    assert (int(model.catalogue.live.sum()) > 100) is (topic == ITEMS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.just("1e999"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
FIELDS = {
    INTERACTIONS: [*Interaction.__struct_fields__, "unheard_of"],
    USERS: [*UserChange.__struct_fields__, "unheard_of"],
    ITEMS: [*Item.__struct_fields__, "deleted"],
}
GOOD: dict[str, dict[str, Any]] = {
    INTERACTIONS: {"event_id": "e", "type": "click", "user_id": "k", "item_id": "i", "event_time": START_MS},
    USERS: {"user_id": "k", "action": "erase", "event_time": START_MS},
    ITEMS: {"item_id": "k", "title": "One"},
}


@settings(max_examples=150)
@given(data=st.data(), topic=st.sampled_from(sorted(FIELDS)))
def test_whatever_json_stands_in_a_field_the_record_is_applied_or_a_dead_letter(
    bench: Bench, data: st.DataObject, topic: str
) -> None:
    changes = st.dictionaries(st.sampled_from(FIELDS[topic]), JSON, max_size=3)
    values = st.one_of(changes.map(lambda some: json.dumps(GOOD[topic] | some).encode()), st.binary(), st.none())
    drawn = data.draw(st.lists(st.tuples(st.none() | st.just(b"k") | st.binary(max_size=4), values), min_size=1))
    records = [LogRecord(topic, 9, next(bench.offsets), START_MS, key, value) for key, value in drawn]
    assert sum(counted(bench, records)) == len(records)

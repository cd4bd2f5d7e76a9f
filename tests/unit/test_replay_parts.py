"""Two topics are merged by arrival the same way however they are read; what was erased stays erased."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from cli.replay_plan import read_moment
from domain.errors import ConfigError
from domain.log_reader import LogRecord
from domain.profile import Profile
from domain.users import UserChange
from stream.log_spans import in_order_of_arrival
from stream.partition_state import PartitionState
from stream.profile_updates import apply_interactions
from stream.user_changes import apply_user_changes, keep_forgotten
from tests.builders import RULES, START_MS, interaction, log_of, touch


def made(topic: str, times: Sequence[int]) -> list[LogRecord]:
    return [LogRecord(topic, 0, at, time_ms, b"u", b"") for at, time_ms in enumerate(times)]


def merged(records: Sequence[LogRecord], others: Sequence[LogRecord], size: int) -> list[LogRecord]:
    async def in_batches() -> AsyncIterator[list[LogRecord]]:
        for at in range(0, len(records), size):
            yield list(records[at : at + size])

    async def collect() -> list[LogRecord]:
        found = []
        async for part in in_order_of_arrival(in_batches(), others):
            assert len({one.topic for one in part}) == 1
            found += part
        return found

    return asyncio.run(collect())


def one_by_one(records: Sequence[LogRecord], others: Sequence[LogRecord]) -> list[LogRecord]:
    """The rule itself: of the two next records the one that came first; at the same time the interaction."""
    records, others, found = list(records), list(others), []
    while records and others:
        found.append((others if others[0].timestamp < records[0].timestamp else records).pop(0))
    return found + records + others


@pytest.mark.parametrize("seed", range(30))
def test_the_order_is_that_of_arrival_whatever_the_batches_and_goes_on_from_the_middle(seed: int):
    rng = random.Random(seed)
    records = made("interactions", [rng.randrange(30) for _ in range(rng.randrange(25))])  # clocks jump back
    others = made("users", [rng.randrange(30) for _ in range(rng.randrange(8))])
    whole = one_by_one(records, others)
    assert merged(records, others, rng.randint(1, 9)) == whole
    at = rng.randrange(len(whole) + 1)
    seen = whole[:at]
    left, right = ([one for one in log if one not in seen] for log in (records, others))
    assert seen + merged(left, right, rng.randint(1, 9)) == whole


def test_what_was_forgotten_since_is_taken_out_of_a_state_of_before():
    before = Profile(touches=(touch(1), touch(5)), position=7)
    erased = Profile(forgotten_until=START_MS + 1000, position=9)
    assert keep_forgotten(before, erased, whole=False) == msgspec.structs.replace(before, touches=(touch(5),))
    assert keep_forgotten(before, Profile(opted_out=True), whole=False).touches == ()
    assert keep_forgotten(before, Profile(merged_into="login"), whole=False) == before


def test_a_whole_replay_takes_over_changes_that_compaction_has_removed():
    replayed = Profile(touches=(touch(1),), position=7)
    for live in (
        Profile(forgotten_until=START_MS + 1000, position=7),
        Profile(opted_out=True, position=7),
        Profile(merged_into="login", position=7),
    ):
        assert keep_forgotten(replayed, live, whole=True) == live


def test_what_a_user_did_while_opted_out_stays_out_when_it_arrives_after_they_opted_in():
    state = PartitionState()
    for at, (action, second) in enumerate((("opt_out", 10), ("opt_in", 20))):
        change = UserChange(user_id="ann", action=action, event_time=START_MS + second * 1000)
        apply_user_changes(state, [LogRecord("users", 0, at, START_MS, b"ann", msgspec.json.encode(change))])
    apply_interactions(state, log_of([interaction("ann", "i", 15), interaction("ann", "i", 25)]), RULES)
    assert [one.event_time for one in state.profile("ann").touches] == [START_MS + 25_000]


def test_who_opts_in_without_having_opted_out_keeps_what_is_known():
    state = PartitionState()
    apply_interactions(state, log_of([interaction("ann", "i", 5)]), RULES)
    change = UserChange(user_id="ann", action="opt_in", event_time=START_MS + 20_000)
    apply_user_changes(state, [LogRecord("users", 0, 0, START_MS, b"ann", msgspec.json.encode(change))])
    assert len(state.profile("ann").touches) == 1


def test_a_moment_is_a_time_or_a_record():
    assert read_moment("--to", None) is None
    assert read_moment("--to", "2026-01-01T00:00:00Z") == read_moment("--to", "1767225600000") == 1_767_225_600_000
    assert read_moment("--to", "interactions/3@1200") == read_moment("--to", "3@1200") == (3, 1200)
    with pytest.raises(ConfigError, match=r"--to: expected .*interactions/3@1200"):
        read_moment("--to", "2026-01-01")

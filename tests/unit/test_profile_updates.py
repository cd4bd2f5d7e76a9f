"""What a batch does to a partition: exact under redelivery, whatever was durable when the worker died."""

import copy
import gc
import random
import weakref

import msgspec
import pytest
from msgspec.structs import replace

from domain.codecs import unpack
from domain.interactions import INTERACTION_TYPES
from domain.log_reader import LogRecord
from domain.profile import Profile
from learning.signals import LAG_DECAY, ONCE
from stream.item_embedder import read_items
from stream.partition_state import PartitionState
from stream.profile_updates import MERGED_HEADER, Rules, apply_interactions, sent_on
from stream.user_changes import apply_user_changes
from tests.builders import RULES, START_MS, interaction, log_of

USERS, ITEMS = "abc", "uvwxyz"


def history(seed: int, length: int = 60):
    rng = random.Random(seed)
    events = [interaction(rng.choice(USERS), rng.choice(ITEMS), at, event_id=f"e{at}") for at in range(length)]
    return [*events, *rng.sample(events, 10)]  # ten arrive again, at other offsets


def told(state: PartitionState):
    """A partition's state without the bookkeeping of offsets."""
    profiles = {user: state.profile(user).touches for user in state.profiles}
    return profiles, {item: (one.counts, one.before) for item, one in state.signals.items()}


def undisturbed(records) -> PartitionState:
    state = PartitionState()
    apply_interactions(state, records, RULES)
    return state


@pytest.mark.parametrize("seed", range(20))
def test_the_size_of_batches_changes_nothing(seed):
    records = log_of(history(seed))
    state, at = PartitionState(), 0
    rng = random.Random(seed)
    while at < len(records):
        size = rng.randint(1, 9)
        apply_interactions(state, records[at : at + size], RULES)
        at += size
    assert told(state) == told(undisturbed(records))


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_at_any_point_of_the_writing_changes_nothing(seed):
    """Signals are durable before profiles; of either, any part may have been written when the worker dies."""
    rng = random.Random(seed)
    records = log_of(history(seed))
    durable, at, committed = PartitionState(), 0, 0
    while at < len(records):
        state = copy.deepcopy(durable)
        at = committed
        batch = records[at : at + rng.randint(1, 15)]
        outcome = apply_interactions(state, batch, RULES)
        signals, profiles = list(outcome.signals.items()), list(outcome.profiles.items())
        dies = rng.random() < 0.5
        written = rng.randint(0, len(signals) + len(profiles)) if dies else len(signals) + len(profiles)
        for item, one in signals[:written]:
            durable.signals[item] = copy.deepcopy(one)
        for user, raw in profiles[: max(0, written - len(signals))]:
            durable.profiles[user] = raw
        if not dies:
            at += len(batch)
            committed = at if rng.random() < 0.5 else committed
    assert told(durable) == told(undisturbed(records))


@pytest.mark.parametrize("seed", range(40))
def test_a_crash_while_the_next_batch_has_begun_changes_nothing(seed):
    """The profiles of a batch go out together with the signals of the next: any of both may have been written."""
    rng = random.Random(seed)
    records = log_of(history(seed))
    durable, at = PartitionState(), 0
    while at < len(records):
        state = copy.deepcopy(durable)
        middle = at + rng.randint(1, 15)
        first = copy.deepcopy(apply_interactions(state, records[at:middle], RULES))
        second = apply_interactions(state, records[middle : middle + rng.randint(1, 15)], RULES)
        durable.signals |= first.signals
        together = [(durable.signals, one) for one in copy.deepcopy(second.signals).items()]
        together += [(durable.profiles, one) for one in first.profiles.items()]
        dies = rng.random() < 0.7
        for kind, (key, value) in rng.sample(together, rng.randint(0, len(together)) if dies else len(together)):
            kind[key] = value
        at = at if dies else middle
    assert told(durable) == told(undisturbed(records))


def test_replaying_the_whole_log_at_new_offsets_changes_nothing():
    records = log_of(history(1))
    state = undisturbed(records)
    before = copy.deepcopy(told(state))
    again = [msgspec.structs.replace(one) for one in history(1)]
    apply_interactions(state, log_of(again, start=len(records)), RULES)
    assert told(state) == before


def test_replaying_changes_nothing_even_for_what_the_profile_has_forgotten():
    rules = Rules(INTERACTION_TYPES, 8)
    events = [interaction("a", f"i{at}", at) for at in range(40)]
    state = PartitionState()
    apply_interactions(state, log_of(events), rules)
    before = copy.deepcopy(told(state))
    apply_interactions(state, log_of(events, start=40), rules)
    assert told(state) == before


def test_what_cannot_be_used_is_refused_with_its_reason_and_harms_nothing_else():
    good = log_of([interaction("a", "u", 1)])
    bad = [
        LogRecord("interactions", 0, 5, START_MS, b"a", b"{nonsense"),
        LogRecord("interactions", 0, 6, START_MS, b"a", None),
        LogRecord("interactions", 0, 7, START_MS, b"b", good[0].value),
        LogRecord("interactions", 0, 8, START_MS - 10_000_000, b"a", good[0].value),
        LogRecord("interactions", 0, 9, START_MS, b"a", good[0].value.replace(b"click", b"teleport")),
    ]
    outcome = apply_interactions(PartitionState(), [*bad, *good], RULES)
    assert [error.reason for _, error in outcome.refused] == [
        "malformed", "malformed", "malformed", "future", "unknown_type",
    ]  # fmt: skip
    assert list(outcome.profiles) == ["a"]


def test_co_visitation_runs_from_what_came_before_to_what_came_after():
    state = undisturbed(log_of([interaction("a", item, at) for at, item in enumerate("uvw")]))
    assert state.signals["u"].before == {}
    assert state.signals["w"].before == {"v": ONCE, "u": round(ONCE * LAG_DECAY)}


def test_an_impression_moves_the_position_and_leaves_no_other_trace():
    state = undisturbed(log_of([interaction("a", "u", 1, type="impression")]))
    assert state.profile("a").touches == () and state.profile("a").position == 0 and not state.signals


def test_a_guest_merged_twice_is_in_the_login_once_and_counts_once_in_the_signals():
    state = undisturbed(log_of([interaction("guest", item, at) for at, item in enumerate("uvw")]))
    signals = copy.deepcopy(state.signals)
    change = {"user_id": "guest", "action": "merge", "target": "login", "event_time": START_MS + 9000}
    records = [LogRecord("users", 0, at, START_MS, b"guest", msgspec.json.encode(change)) for at in (0, 1)]
    outcome = apply_user_changes(state, records)
    again = [
        LogRecord(
            "interactions", 0, 10 + at, START_MS + 10_000, b"login", msgspec.json.encode(one), [(MERGED_HEADER, b"")]
        )
        for at, (_, one) in enumerate(outcome.moved * 2)
    ]
    apply_interactions(state, again, RULES)
    assert [one.item_id for one in state.profile("login").touches] == ["u", "v", "w"]
    assert state.profile("guest").touches == ()
    assert state.signals == signals
    late = apply_interactions(state, log_of([interaction("guest", "x", 4)], start=50), RULES)
    assert [one.user_id for _, one in late.forwarded] == ["login"]


def test_an_erased_user_does_not_come_back_with_late_or_repeated_events():
    events = log_of([interaction("a", item, at) for at, item in enumerate("uvw")])
    state = undisturbed(events)
    change = {"user_id": "a", "action": "erase", "event_time": START_MS + 5000}
    apply_user_changes(state, [LogRecord("users", 0, 0, START_MS, b"a", msgspec.json.encode(change))])
    apply_interactions(state, log_of([interaction("a", "u", 0), interaction("a", "x", 3)], start=10), RULES)
    assert state.profile("a").touches == ()
    apply_interactions(state, log_of([interaction("a", "y", 60)], start=20), RULES)
    assert [one.item_id for one in state.profile("a").touches] == ["y"]


def test_a_value_from_a_zombie_does_not_replace_a_newer_one():
    state = undisturbed(log_of([interaction("a", item, at) for at, item in enumerate("uvw")]))
    old = undisturbed(log_of([interaction("a", "u", 0)]))
    state.restore_profile("a", old.profiles["a"])
    assert len(unpack(state.profiles["a"], Profile).touches) == 3


def run_to_its_end(changes, events, most: int = 1_000) -> PartitionState:
    """One partition whose worker reads what it sends on itself, until nothing is sent on any more."""
    state = PartitionState()
    log = log_of(events)
    sent = apply_user_changes(state, changes).moved
    waiting = [(one, sent_on((), guest)) for guest, one in sent]
    at = 0
    while at < len(log) or waiting:
        log += [replace(*log_of([one], start=len(log) + n), headers=why) for n, (one, why) in enumerate(waiting)]
        assert len(log) < most, "it never ends"
        outcome = apply_interactions(state, log[at:], RULES)
        at = len(log)
        waiting = [(one, sent_on(record.headers, record.key.decode())) for record, one in outcome.forwarded]
        assert not outcome.refused
    return state


@pytest.mark.parametrize("seed", range(30))
def test_users_merged_in_a_circle_lose_no_event_and_send_none_on_for_ever(seed):
    rng = random.Random(seed)
    merges = [rng.sample("abcd", 2) for _ in range(6)]
    changes = [
        LogRecord("users", 0, at, 0, guest.encode(), msgspec.json.encode(change))
        for at, (guest, login) in enumerate(merges)
        for change in [{"user_id": guest, "action": "merge", "target": login, "event_time": START_MS}]
    ]
    events = [interaction(rng.choice("abcd"), rng.choice(ITEMS), at, event_id=f"e{at}") for at in range(20)]
    state = run_to_its_end(changes, events)
    kept = {one.event_id for user in state.profiles for one in state.profile(user).touches}
    assert kept == {one.event_id for one in events}


def test_what_a_batch_held_goes_with_it_whatever_of_it_was_refused():
    bad = LogRecord("t", 0, 0, START_MS, b"a", b"no JSON")
    gc.disable()
    try:
        for outcome in (
            apply_interactions(PartitionState(), [bad], RULES),
            apply_user_changes(PartitionState(), [bad]),
            read_items([bad]),
        ):
            ((_, error),), held = outcome.refused, weakref.ref(outcome)
            assert error.__traceback__ is None and error.__context__ is None
        del outcome, error
        assert held() is None
    finally:
        gc.enable()

"""A replica that reads `interactions` itself shows the profile that the worker is about to write."""

import random

import pytest

from domain.codecs import pack, unpack
from domain.interactions import INTERACTION_TYPES, Interaction
from domain.log_reader import LogRecord
from domain.positions import Position
from domain.profile import Profile
from serving.pending import ON_THE_WAY, Pending
from serving.profiles import MemoryProfiles
from stream.partition_state import PartitionState
from stream.profile_updates import Rules, apply_interactions
from stream.user_changes import apply_user_changes
from tests.builders import START_MS, interaction, log_of

USERS, ITEMS, TYPES = "abc", "uvwxyz", ("click", "view", "impression", "dislike")
SIZE = 12
RULES = Rules(INTERACTION_TYPES, SIZE)


class Path:
    """One partition's log, a worker that has come to one place in it and a replica that has read to another."""

    def __init__(self, records: list[LogRecord]) -> None:
        self._records = records
        self._worker = PartitionState()
        self._profiles = MemoryProfiles()
        self.pending = Pending(self._profiles, INTERACTION_TYPES, SIZE, lambda _: self.worked - 1)
        self.worked = self.read = 0

    def work(self, count: int) -> None:
        """The worker goes on, and the replica applies what it wrote."""
        outcome = apply_interactions(self._worker, self._records[self.worked : self.worked + count], RULES)
        self._write(outcome.profiles)
        self.worked = min(self.worked + count, len(self._records))

    def change(self, action: bytes, user: str, more: bytes = b"") -> None:
        """The worker applies a change of a user."""
        value = b'{"user_id":"%s","action":"%s","event_time":%d%s}' % (user.encode(), action, START_MS + 30_000, more)
        record = LogRecord("users", 0, 0, START_MS, user.encode(), value)
        outcome = apply_user_changes(self._worker, [record])
        assert not outcome.refused
        self._write(outcome.profiles)

    def look_ahead(self, count: int) -> None:
        for one in self._records[self.read : self.read + count]:
            self.pending.take(one)
        self.read = min(self.read + count, len(self._records))

    def expected(self, user: str) -> Profile:
        """What the worker will have written when it is where the replica has read to."""
        state = PartitionState()
        state.profiles.update(self._worker.profiles)
        apply_interactions(state, self._records[self.worked : self.read], RULES)
        return state.profile(user)

    def _write(self, profiles: dict[str, bytes]) -> None:
        for user, raw in profiles.items():
            profile = self._profiles.put(user, raw)
            assert profile is not None
            self.pending.settle(user, profile.position)


def history(seed: int, length: int = 80) -> list[Interaction]:
    """Events out of order, of all kinds, some of them again."""
    rng = random.Random(seed)
    times = [at + rng.choice([0, 0, 0, -7, -30]) for at in range(30, 30 + length)]
    events = [
        interaction(rng.choice(USERS), rng.choice(ITEMS), time, rng.choice(TYPES), event_id=f"e{at}")
        for at, time in enumerate(times)
    ]
    for one in rng.sample(events, 15):
        events.insert(rng.randrange(len(events)), one)
    return events


@pytest.mark.parametrize("seed", range(60))
def test_wherever_worker_and_replica_are_it_is_the_profile_that_the_worker_comes_to(seed: int):
    rng, path = random.Random(seed), Path(log_of(history(seed)))
    while path.worked < 95:
        (path.work if rng.random() < 0.3 else path.look_ahead)(rng.randint(1, 12))
        for user in USERS:
            assert (path.pending.profile(user) or Profile()) == path.expected(user)
    assert len(path.pending) == 0


@pytest.mark.parametrize("action", [b"erase", b"opt_out", b"merge"])
def test_what_a_user_has_had_forgotten_stays_forgotten(action: bytes):
    path = Path(log_of([interaction("a", item, at) for at, item in enumerate("uvwxyz" * 10)]))
    path.work(20)
    path.change(action, "a", b',"target":"b"' if action == b"merge" else b"")
    path.look_ahead(50)
    held = path.pending.profile("a")
    assert held == path.expected("a") and held is not None
    assert all(one.event_time > START_MS + 30_000 for one in held.touches)
    assert bool(held.touches) == (action == b"erase")


def test_a_profile_that_came_first_makes_the_interaction_superfluous():
    path = Path(log_of([interaction("a", "u", 1)]))
    path.work(1)
    path.look_ahead(1)
    assert len(path.pending) == 0 and path.pending.reflects("a", Position(0, 0))


def test_what_no_worker_can_use_is_not_held():
    good = log_of([interaction("a", "u", 1)])[0]
    bad = [
        LogRecord("interactions", 0, 0, START_MS, b"a", b"{nonsense"),
        LogRecord("interactions", 0, 1, START_MS, b"a", None),
        LogRecord("interactions", 0, 2, START_MS, b"b", good.value),
        LogRecord("interactions", 0, 3, START_MS, None, good.value),
    ]
    pending = new()
    assert [pending.take(one) for one in bad] == [None] * 4 and len(pending) == 0
    for one in bad:  # none of them is one that a worker would take
        assert apply_interactions(PartitionState(), [one], RULES).refused


def at(offset: int, user: str = "a", partition: int = 0) -> LogRecord:
    return log_of([interaction(user, f"i{offset}", offset)], partition, offset)[0]


def new(profiles: MemoryProfiles | None = None, worked_to: int = -1, most: int = 1_000) -> Pending:
    return Pending(profiles or MemoryProfiles(), INTERACTION_TYPES, SIZE, lambda _: worked_to, most)


def promised(pending: Pending, user: str = "a") -> list[int]:
    return [offset for offset in range(12) if pending.reflects(user, Position(0, offset))]


def test_nothing_is_promised_while_something_before_it_may_be_missing():
    for worked_to, expected in ((-1, []), (5, []), (6, [*range(9)]), (9, [*range(9)])):
        pending = new(worked_to=worked_to)
        for offset in (3, 4):
            pending.take(at(offset))
        pending.begin(0, 7)  # it was too far behind
        pending.take(at(8))
        assert promised(pending) == expected
        held = pending.profile("a")
        assert held is not None and [one.offset for one in held.touches] == [3, 4, 8]


def test_what_the_user_s_own_profile_reflects_is_missing_nowhere():
    profiles = MemoryProfiles()
    profiles.put("a", pack(Profile((), 6)))
    pending = new(profiles)
    pending.begin(0, 7)
    pending.take(at(8))
    pending.take(at(9, "b"))
    assert promised(pending) == [*range(9)] and promised(pending, "b") == []


def test_offsets_that_no_record_has_are_no_gap():
    pending = new()
    for offset in (0, 1, 3, 9):
        pending.take(at(offset))
    assert promised(pending) == [*range(10)]


def test_when_too_much_waits_those_who_did_nothing_for_longest_are_let_go_of():
    pending = new(most=8)
    for offset in range(8):
        pending.take(at(offset, user=f"u{offset}"))
    assert len(pending) == 8 and pending.profile("u3") is None and pending.profile("u4") is not None
    assert promised(pending, "u3") == [] and promised(pending, "u7") == []  # of whom more may have been let go of
    pending.take(at(8, user="u3"))
    assert promised(pending, "u3") == [] and pending.profile("u3") is not None


def test_reading_begins_shortly_before_what_the_items_have_learned_of_and_goes_on_where_it_was():
    pending = new(worked_to=10_000)
    assert new().next_offset(0) == 0 and pending.next_offset(0) == 10_001 - ON_THE_WAY
    pending.take(at(9_500))
    assert pending.next_offset(0) == 9_501 and pending.next_offset(1) == 10_001 - ON_THE_WAY


def test_a_log_that_begins_anew_is_another_one():
    pending = new()
    for offset in (5, 6):
        pending.take(at(offset))
    pending.take(at(0, user="b"))
    assert pending.profile("a") is None and pending.profile("b") is not None and pending.next_offset(0) == 1


def test_partitions_are_read_each_for_itself():
    pending = new(worked_to=4)
    for one in (at(5), at(2, "b", 1), at(6), at(3, "b", 1)):
        pending.take(one)
    assert pending.reflects("a", Position(0, 5)) and pending.reflects("b", Position(1, 2))


def test_a_replica_that_remembers_less_than_workers_takes_nothing_away():
    profiles, state, rules = MemoryProfiles(), PartitionState(), Rules(INTERACTION_TYPES, 3 * SIZE)
    records = [at(offset) for offset in range(3 * SIZE + 5)]
    outcome = apply_interactions(state, records[: 3 * SIZE], rules)
    profiles.put("a", outcome.profiles["a"])
    pending = new(profiles)
    for one in records[3 * SIZE :]:
        pending.take(one)
    apply_interactions(state, records[3 * SIZE :], rules)
    assert pending.profile("a") == state.profile("a")


def test_a_written_profile_takes_the_place_of_what_it_reflects_alone():
    profiles = MemoryProfiles()
    pending = new(profiles)
    for offset in range(3):
        pending.take(at(offset))
    profiles.put("a", pack(Profile((), 1)))  # as if both had been forgotten meanwhile
    assert not pending.settle("b", 9) and pending.settle("a", 1)
    held = pending.profile("a")
    assert held is not None and [one.offset for one in held.touches] == [2] and len(pending) == 2
    assert unpack(pack(held), Profile) == held

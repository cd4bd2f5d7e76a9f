"""A replica that reads `interactions` itself shows the profile that the worker is about to write."""

import random

import pytest

from domain.codecs import pack, unpack
from domain.interactions import INTERACTION_TYPES, Interaction
from domain.log_reader import LogRecord
from domain.positions import Position
from domain.profile import Profile
from serving.pending import Pending
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

    def __init__(self, records: list[LogRecord], most: int = 1_000) -> None:
        self._records = records
        self._worker = PartitionState()
        self._profiles = MemoryProfiles()
        self.pending = Pending(self._profiles, INTERACTION_TYPES, SIZE, most)
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
    pending = Pending(MemoryProfiles(), INTERACTION_TYPES, SIZE)
    assert [pending.take(one) for one in bad] == [None] * 4 and len(pending) == 0
    for one in bad:  # none of them is one that a worker would take
        assert apply_interactions(PartitionState(), [one], RULES).refused


def at(offset: int, user: str = "a", partition: int = 0) -> LogRecord:
    return log_of([interaction(user, f"i{offset}", offset)], partition, offset)[0]


def test_behind_a_hole_nothing_is_promised_of_what_lay_before_it():
    pending = Pending(MemoryProfiles(), INTERACTION_TYPES, SIZE)
    for offset in (3, 4, 7):
        pending.take(at(offset))
    promised = [offset for offset in range(9) if pending.reflects("a", Position(0, offset))]
    assert promised == [7]  # of 4 it is not known any more whether one that follows was missed
    held = pending.profile("a")
    assert held is not None and [one.offset for one in held.touches] == [3, 4, 7]


def test_when_too_much_waits_those_who_did_nothing_for_longest_are_let_go_of():
    pending = Pending(MemoryProfiles(), INTERACTION_TYPES, SIZE, most=8)
    for offset in range(8):
        pending.take(at(offset, user=f"u{offset}"))
    assert len(pending) == 8 and pending.profile("u3") is None and pending.profile("u4") is not None
    assert not pending.reflects("u3", Position(0, 3)) and pending.reflects("u7", Position(0, 7))
    pending.take(at(8, user="u3"))
    assert not pending.reflects("u3", Position(0, 3)) and pending.reflects("u3", Position(0, 8))


def test_a_log_that_begins_anew_is_another_one():
    pending = Pending(MemoryProfiles(), INTERACTION_TYPES, SIZE)
    for offset in (5, 6):
        pending.take(at(offset))
    pending.take(at(0, user="b"))
    assert pending.profile("a") is None and pending.profile("b") is not None and pending.next_offset(0) == 1


def test_partitions_are_read_each_for_itself():
    pending = Pending(MemoryProfiles(), INTERACTION_TYPES, SIZE)
    for one in (at(5), at(2, "b", 1), at(6), at(3, "b", 1)):
        pending.take(one)
    assert pending.reflects("a", Position(0, 5)) and pending.reflects("b", Position(1, 2))


def test_a_written_profile_takes_the_place_of_what_it_reflects_alone():
    profiles = MemoryProfiles()
    pending = Pending(profiles, INTERACTION_TYPES, SIZE)
    for offset in range(3):
        pending.take(at(offset))
    profiles.put("a", pack(Profile((), 1)))  # as if both had been forgotten meanwhile
    assert not pending.settle("b", 9) and pending.settle("a", 1)
    held = pending.profile("a")
    assert held is not None and [one.offset for one in held.touches] == [2] and len(pending) == 2
    assert unpack(pack(held), Profile) == held

"""The profile is a pure function of a set: order, duplicates and replay change nothing."""

from hypothesis import given
from hypothesis import strategies as st

from domain.profile import EMPTY, Insertion, Profile, Touch, forget, insert
from tests.builders import touch

SIZE = 5

touches = st.lists(
    st.builds(
        Touch,
        event_time=st.integers(0, 12),
        event_id=st.sampled_from("abcdefgh"),
        item_id=st.sampled_from("xyz"),
        type=st.just("click"),
        value=st.none(),
        offset=st.integers(0, 40),
    ),
    max_size=25,
)


def profile_of(some: list[Touch], size: int = SIZE) -> Profile:
    profile = EMPTY
    for one in some:
        profile, _ = insert(profile, one, size)
    return profile


def distinct(some: list[Touch]) -> list[Touch]:
    """One touch for each event id, as the log has it: the first one of an id counts."""
    first: dict[str, Touch] = {}
    for one in some:
        if one.event_id not in first or one.offset < first[one.event_id].offset:
            first[one.event_id] = one
    return list(first.values())


@given(touches, st.randoms(use_true_random=False))
def test_the_order_of_events_changes_nothing(some, random):
    shuffled = distinct(some)
    random.shuffle(shuffled)
    assert profile_of(shuffled) == profile_of(distinct(some))


@given(touches)
def test_replaying_the_log_twice_changes_nothing(some):
    once = distinct(some)
    assert profile_of(once + once) == profile_of(once)


@given(touches, st.randoms(use_true_random=False))
def test_duplicates_of_an_event_id_change_nothing_in_whatever_order_they_come(some, random):
    shuffled = list(some)
    random.shuffle(shuffled)
    # A profile large enough to remember all: a duplicate of something long forgotten is judged by its age.
    by_id = {one.event_id: min(o.offset for o in some if o.event_id == one.event_id) for one in some}
    expected = {(event_id, offset) for event_id, offset in by_id.items()}
    assert {(one.event_id, one.offset) for one in profile_of(shuffled, 100).touches} == expected


@given(touches)
def test_the_newest_interactions_are_kept_in_order(some):
    kept = profile_of(distinct(some)).touches
    assert list(kept) == sorted(distinct(some))[-SIZE:]


@given(touches, touches)
def test_merging_two_histories_equals_having_had_both(guest, login):
    login = [one for one in login if one.event_id not in {g.event_id for g in guest}]
    both = distinct(guest + login)
    merged = profile_of(distinct(login))
    for one in profile_of(distinct(guest)).touches:
        merged, _ = insert(merged, one, SIZE)
    assert merged == profile_of(both)


@given(touches, st.integers(0, 12))
def test_forgetting_equals_never_having_seen(some, until):
    later = [one for one in distinct(some) if one.event_time > until]
    forgotten = forget(profile_of(distinct(some)), until)
    assert forgotten.touches == profile_of(later).touches
    assert profile_of(distinct(some)).touches == () or forget(EMPTY, until).touches == ()


def test_an_insertion_says_what_became_of_the_event():
    profile, first = insert(EMPTY, touch(1, offset=7), SIZE)
    assert first is Insertion.NEW
    assert insert(profile, touch(1, offset=7), SIZE) == (profile, Insertion.REDELIVERED)
    assert insert(profile, touch(1, offset=9), SIZE) == (profile, Insertion.DUPLICATE)
    full = profile_of([touch(second) for second in range(10, 10 + SIZE)])
    assert insert(full, touch(2), SIZE) == (full, Insertion.TOO_OLD)
    assert insert(forget(EMPTY, touch(3).event_time), touch(2), SIZE)[1] is Insertion.FORGOTTEN


def test_a_lower_position_never_replaces_a_higher():
    assert Profile(position=5).replaces(Profile(position=4))
    assert not Profile(position=4).replaces(Profile(position=5))
    assert not Profile(position=9, changes_position=1).replaces(Profile(position=5, changes_position=2))

"""Every prediction is asked for once, sees only its past, and costs a bounded amount."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from learning.sequence.clocks import GAPS, gap_kind, log_age
from learning.sequence.windows import REMEMBERED, Log, ahead, batches, collate, cut, flatten, touched

DAY = 86_400_000


def log_of(*lengths: int) -> Log:
    """Users of so many events; each event's row is its position in the log, its time its position in days."""
    ends = np.cumsum(lengths)
    return flatten(
        [(np.arange(end - n, end), np.arange(end - n, end) * DAY) for n, end in zip(lengths, ends, strict=True)]
    )


@given(
    lengths=st.lists(st.integers(0, 40), min_size=1, max_size=6),
    length=st.integers(1, 9),
    stride=st.integers(1, 9),
    seed=st.integers(0, 99),
)
def test_each_event_but_the_first_of_a_user_is_predicted_exactly_once(lengths, length, stride, seed):
    log, stride, random = log_of(*lengths), min(length, stride), np.random.default_rng(seed)
    windows = cut(log, length, stride, shift=random.integers(0, stride, len(lengths)))
    predicted = []
    for part in batches(windows, 50, random):
        batch = collate(log, part)
        predicted += (batch.at[batch.asked] + 1).tolist()
    heads = set(log.bounds[:-1].tolist())
    assert sorted(predicted) == [event for event in range(len(log.rows)) if event not in heads]


def test_a_window_never_reaches_into_another_user_or_beyond_its_length():
    log = log_of(3, 20, 2)
    windows = cut(log, 5, 2)
    assert (windows.start >= windows.head).all() and (windows.end - windows.start <= 5).all()
    assert all(
        end < log.bounds[np.searchsorted(log.bounds, head, side="right")]
        for head, end in zip(windows.head, windows.end, strict=True)
    )


def test_since_asks_for_what_happened_then_and_keeps_what_was_before_as_context():
    log = log_of(6, 6)
    batch = collate(log, cut(log, 4, 2, since_ms=4 * DAY))
    assert sorted((batch.at[batch.asked] + 1).tolist()) == [4, 5, 7, 8, 9, 10, 11]
    assert batch.at.min() < 3


def test_the_moment_of_a_question_is_that_of_its_answer():
    log = log_of(4)
    batch = collate(log, cut(log, 4, 4))
    assert (batch.nows_ms - batch.times_ms)[batch.asked].tolist() == [DAY] * 3
    assert batch.counts[batch.asked].tolist() == [1, 2, 3]


def test_what_was_touched_is_all_of_the_past_and_nothing_ahead():
    log = log_of(5)
    batch = collate(log, cut(log, 2, 1))
    question, row = touched(log, batch)
    past = {number: set(row[question == number].tolist()) for number in range(4)}
    assert past == {number: set(range(at + 1)) for number, at in enumerate(batch.at[batch.asked].tolist())}


def test_what_was_touched_is_bounded():
    log = log_of(REMEMBERED + 50)
    last = cut(log, 5, 5, since_ms=int(log.times_ms[-1]))
    question, row = touched(log, collate(log, last))
    assert len(question) == REMEMBERED and row.max() == len(log.rows) - 2


def test_what_comes_ahead_ends_with_the_user():
    log = log_of(4, 3)
    following, there = ahead(log, collate(log, cut(log, 4, 4)), 2)
    found = [row[kept].tolist() for row, kept in zip(following, there, strict=True)]
    assert sorted(found) == [[1, 2], [2, 3], [3], [5, 6], [6]]


def test_a_clock_that_jumps_back_is_held_still():
    assert flatten([(np.array([1, 2, 3]), np.array([5, 2, 7]))]).times_ms.tolist() == [5, 5, 7]


@pytest.mark.parametrize("age", [-(10**15), -1, 0, 1, 10**18])
def test_any_age_is_a_kind_of_pause_and_a_finite_feature(age):
    ages = np.array([age])
    assert 0 <= gap_kind(ages)[0] < GAPS and np.isfinite(log_age(ages)).all()


def test_longer_pauses_are_later_kinds_and_larger_features():
    pauses = np.array([0, 2 * 60_000, 3_600_000, DAY, 100 * DAY])
    assert (np.diff(gap_kind(pauses)) > 0).all() and (np.diff(log_age(pauses)) > 0).all()

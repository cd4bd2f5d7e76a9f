"""Intervals hold the truth as often as they say, also when users' events resemble each other."""

import time
import tracemalloc

import numpy as np
import pytest

from learning.intervals import Interval, by_block, difference, interval, ratio_interval

USERS, EVENTS_EACH = 80, 10


def correlated(generator: np.random.Generator, mean: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Events of users who differ more between each other than within themselves."""
    users = np.repeat(np.arange(USERS), EVENTS_EACH)
    taste = generator.normal(mean, 0.3, USERS)
    return taste[users] + generator.normal(0, 0.3, len(users)), users


def holding(block_of: str, runs: int = 200) -> float:
    """How often the interval of a mean of 0.3 holds it."""
    held = 0
    for seed in range(runs):
        values, users = correlated(np.random.default_rng(seed))
        found = interval(values, users if block_of == "user" else np.arange(len(users)), seed)
        held += found.low <= 0.3 <= found.high
    return held / runs


def test_the_interval_holds_the_truth_in_95_of_100_cases():
    assert 0.91 <= holding("user") <= 0.98


def test_events_taken_as_independent_would_claim_too_much():
    assert holding("event", runs=60) < 0.75


def test_the_interval_of_independent_events_is_the_textbook_one():
    values = np.random.default_rng(1).normal(0, 1, 4_000)
    found = interval(values, np.arange(4_000))
    half = 1.96 * values.std() / np.sqrt(4_000)
    assert found.mean == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half), abs=0.1 * half)


def test_users_with_more_events_weigh_more_and_their_numbers_mean_nothing():
    values, users = np.array([1.0, 1.0, 1.0, 0.0]), np.array([7, 7, 7, -2])
    found = interval(values, users)
    assert found.mean == 0.75 and (found.low, found.high) == (0, 1)
    assert found == interval(values, np.array([1, 1, 1, 0]))


def test_pairing_narrows_the_interval_of_a_difference():
    generator = np.random.default_rng(3)
    baseline, users = correlated(generator)
    better = baseline + generator.normal(0.03, 0.1, len(baseline))
    paired = difference(better, baseline, users)
    apart = [interval(values, users) for values in (better, baseline)]
    unpaired = np.hypot(*[one.high - one.low for one in apart])
    assert paired.high - paired.low < 0.5 * unpaired
    assert paired.low < 0.03 < paired.high and paired.p < 0.05
    assert paired.mean == pytest.approx(apart[0].mean - apart[1].mean)


def test_p_is_small_as_often_as_chance_says_where_nothing_differs():
    small = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        values, users = correlated(generator)
        noise, _ = correlated(generator, mean=0.0)
        found = difference(values + noise, values, users, seed)
        assert (found.p < 0.05) == (not found.low <= 0 <= found.high) or 0.03 < found.p < 0.07
        small += found.p < 0.05
    assert 0.01 <= small / 200 <= 0.1


def test_what_is_equal_differs_by_nothing_for_certain():
    values, users = correlated(np.random.default_rng(0))
    found = difference(values, values, users)
    assert (found.mean, found.low, found.high, found.p) == (0, 0, 0, 1)


def test_the_same_seed_gives_the_same_interval():
    values, users = correlated(np.random.default_rng(0))
    assert interval(values, users) == interval(values, users) != interval(values, users, seed=1)


def test_nothing_gives_no_number():
    none = np.empty(0)
    for found in (interval(none, none.astype(int)), difference(none, none, none.astype(int))):
        assert np.isnan(list(vars(found).values())).all()
    assert np.isnan(ratio_interval(np.zeros(2), np.zeros(2)).mean)


def test_a_resample_without_a_denominator_is_left_out():
    assert ratio_interval(np.array([1.0, 0.0]), np.array([2.0, 0.0])) == Interval(0.5, 0.5, 0.5)


def test_sums_are_by_block_in_the_order_of_its_numbers():
    blocks = np.array([5, 3, 5])
    assert [one.tolist() for one in by_block(blocks, np.array([1.0, 2, 4]), np.ones(3))] == [[2, 5], [1, 2]]


def test_twenty_thousand_events_of_a_thousand_users_are_quick_and_memory_is_bounded():
    generator = np.random.default_rng(0)
    values = generator.random(20_000)
    started = time.process_time()
    interval(values, generator.integers(1_000, size=20_000))
    assert time.process_time() - started < 2
    tracemalloc.start()
    interval(values, np.arange(20_000))
    assert tracemalloc.get_traced_memory()[1] < 60_000_000
    tracemalloc.stop()

"""What recent items lead to, beside sums made one by one."""

import numpy as np
import pytest

from learning.signals import ONCE
from serving.covisits import HORIZONS, LIFT, Covisits, Links, summed
from serving.numbering import Numbering


def recent_links(rows: np.ndarray, weights: np.ndarray, lags: np.ndarray) -> Links:
    """What recent items lead to: changes of the links of one after the other, each so many items back."""
    order = np.argsort(lags, kind="stable")
    changes = np.stack([rows[order], weights[order]], axis=1).astype(np.int32)
    return Links(changes, np.bincount(lags, minlength=50))


NONE = recent_links(*np.zeros((3, 0), np.int64))


def test_co_visits_that_cancel_leave_nothing_behind():
    chance, numbering = np.random.default_rng(7), Numbering(1)
    for _ in range(300):
        weights = chance.integers(1, 1000, 5)
        weights = np.append(weights, -weights.sum())
        links = recent_links(np.zeros(6, np.int64), weights, np.zeros(6, np.int64))
        lags = recent_links(np.zeros(12, np.int64), np.tile(weights, 2), np.repeat([0, 2], 6))
        for one in (links, lags):
            rows, sums = summed((one, one), numbering)
            assert not sums.any()
            assert Covisits(rows, sums, np.ones(1, np.float32), (one, one)).led_by(rows, numbering) == [None]


def test_strengths_are_the_sums_of_decayed_weights_over_each_horizon_forward_and_backward():
    chance, numbering = np.random.default_rng(9), Numbering(50)
    sides = [(chance.integers(0, 40, 200), chance.integers(1, 400, 200), chance.integers(0, 50, 200)) for _ in range(2)]
    rows, sums = summed(tuple(recent_links(*side) for side in sides), numbering)
    plain = np.zeros((50, 2, len(HORIZONS)))
    for at, (targets, weights, lags) in enumerate(sides):
        for horizon, (decay, length) in enumerate(HORIZONS):
            np.add.at(plain[:, at, horizon], targets, weights / ONCE * decay**lags * (lags < length))
    assert sorted(rows.tolist()) == np.unique(np.concatenate([side[0] for side in sides])).tolist()
    assert sums / ONCE == pytest.approx(plain[rows], rel=1e-4)
    counts = chance.uniform(0, 9, 50).astype(np.float32)
    asked = chance.permutation(50)  # the last ten of which nothing leads to
    found = Covisits(rows, sums, (counts[rows] + 1) ** LIFT, (NONE, NONE))
    divided = plain / (counts + 1)[:, None, None] ** LIFT
    expected = np.stack([plain[:, 0].T, divided[:, 0].T, plain[:, 1].T, divided[:, 1].T])
    assert found.of(asked, numbering) == pytest.approx(expected[..., asked], rel=1e-4)
    for kind, horizon in np.ndindex(4, len(HORIZONS)):
        assert found.strengths(kind, horizon) == pytest.approx(expected[kind, horizon, rows], rel=1e-4)


def test_each_item_names_the_recent_one_that_led_to_it_most_strongly():
    chance, numbering = np.random.default_rng(8), Numbering(12)
    rows, weights, lags = chance.integers(0, 9, 60), chance.integers(1, 400, 60), np.arange(60) // 4
    links = recent_links(rows, weights, lags)
    asked = chance.permutation(12)
    for both in ((links, NONE), (links, links)):
        totals = np.zeros((12, 60))
        for _ in range(1 + (both[1] is links)):
            np.add.at(totals, (rows, lags), weights * 0.8**lags * (lags < 12))
        expected = [int(row.argmax()) if row.any() else None for row in totals[asked]]
        assert Covisits(rows, np.empty((0, 2, 3)), np.empty(0), both).led_by(asked, numbering) == expected
    assert expected.count(None) == 3

"""Compiled loops beside the same said in NumPy."""

import os
import subprocess
import sys

import numpy as np
import pytest

from domain.clock import DAY_MS
from learning.ranker import CLIP, FLOOR, LARGEST, standardised
from serving.behaviour import NEVER_TOUCHED_MS
from serving.features import age, kind, popularity, text
from serving.new_items import _new

SIZE, COUNT, NOW = 300, 101, 1_795_326_060_000


@pytest.fixture
def chance() -> np.random.Generator:
    return np.random.default_rng(4)


@pytest.fixture
def rows(chance) -> np.ndarray:
    return chance.permutation(SIZE)[:COUNT]


def test_popularity_is_decayed_and_added_up(chance, rows):
    now = chance.uniform(0, 50_000, 5)
    logs, stages = chance.normal(now[:, None], 3, (5, SIZE)), chance.normal(500, 3, (3, SIZE))
    logs[:, rows[:9]] = -np.inf
    counts = np.exp2(popularity._logs(logs, now, stages, 498.0, rows))
    expected = np.exp2(np.vstack([logs[:, rows] - now[:, None], stages[:, rows] - 498]))
    assert np.allclose(counts, expected, rtol=1e-5)
    kinds = chance.integers(0, 6, (SIZE, 8)).astype(np.int32)
    summed, own = popularity._summed(counts, 5, 1, popularity.WEEKS, kinds, 5, rows) - 0.1, kinds[rows, 0]
    assert summed[:6] == pytest.approx(counts[[0, 1, 2, 3, 4, 6]], rel=1e-5, abs=1e-5)
    assert summed[6] == pytest.approx(counts[5:].sum(0), rel=1e-5, abs=1e-5)
    assert summed[7] == pytest.approx(np.bincount(own, counts[popularity.WEEKS])[own], rel=1e-5)


def test_ages_are_since_when_and_never_is_told_apart(chance, rows):
    published = NOW - chance.integers(-3 * DAY_MS, 9 * DAY_MS, SIZE)
    first = np.where(chance.random(SIZE) < 0.3, NEVER_TOUCHED_MS, NOW - chance.integers(-9, DAY_MS, SIZE))
    last = np.where(first < 0, NEVER_TOUCHED_MS, first + 1000)
    found = age._ages(NOW, NEVER_TOUCHED_MS, 7.0 * DAY_MS, float(DAY_MS), published, first, last, rows)
    days, untouched = (NOW - published[rows]) / DAY_MS, first[rows] < 0
    assert found[0] == pytest.approx(np.where(days < 0, 0, np.clip(1 - days / 7, 0, 1)))
    for ages, touched, never, unit in ((found[1], first, 0, DAY_MS), (found[2], last, 24_000, DAY_MS / 24)):
        assert ages == pytest.approx(np.where(untouched, never, np.maximum(NOW - touched[rows], 0) / unit))
    assert np.array_equal(found[3], untouched)


def test_the_share_of_categories_is_a_cosine_but_for_the_users_length(chance, rows):
    counts = chance.integers(0, 9, SIZE)
    kinds = (chance.integers(1, 20, (SIZE, 8)) * (np.arange(8) < counts[:, None])).astype(np.int32)
    published, touched = chance.integers(0, 900, SIZE), chance.permutation(SIZE)[:30]
    for some, few in ((touched, 5), (touched[:3], 3)):
        found = kind._kinds(some, 5, kinds, 19, published, 10.0, rows)
        for shares, own in zip(found[:2], (some[:few], some), strict=True):
            affinity = np.bincount(kinds[own].ravel(), minlength=20) / len(own) * (np.arange(20) > 0)
            assert shares == pytest.approx(
                affinity[kinds[rows]].sum(-1) / np.sqrt(np.maximum(counts[rows], 1)), rel=1e-5
            )
        assert found[2] == pytest.approx(np.abs(published[rows] - published[some[:few]].mean()) / 10, rel=1e-5)


@pytest.mark.parametrize("count", [1, 5, 9])
def test_what_texts_are_compared_with_is_less_what_is_usual(chance, count):
    vectors, usual, expected = (chance.normal(size=size).astype(np.float32) for size in ((20, 8), 8, 8))
    recent, own = chance.permutation(20)[:count], chance.normal(size=(2, 8)).astype(np.float32)
    means = [vectors[recent[:5]].mean(0) - usual, vectors[recent].mean(0) - usual]
    unit = expected / np.linalg.norm(expected)
    found = text._sought(vectors, recent, 5, usual, expected, own)
    assert found == pytest.approx(np.vstack([*means, unit, own - usual]), abs=1e-5)
    assert not text._sought(vectors, recent, 5, usual, 0 * expected, own)[2].any()


def test_features_are_less_their_mean_over_their_deviation(chance):
    features = chance.normal(3, [[1], [1e-4], [1e3], [0]], (4, 500)).astype(np.float32)
    features[2, 0], features[0, :3] = 1e30, [np.nan, np.inf, -np.inf]
    wild = np.clip(np.nan_to_num(features, posinf=0, neginf=0), -LARGEST, LARGEST).astype(np.float64)
    centred = wild - wild.mean(1, keepdims=True)
    expected = np.clip(centred / np.sqrt((centred**2).mean(1, keepdims=True) + float(FLOOR) ** 2), -CLIP, CLIP)
    assert standardised(features) == pytest.approx(expected.T, abs=2e-4)


def test_new_is_what_was_published_lately_or_never_touched(chance):
    rows, live = np.arange(SIZE), chance.random(SIZE) < 0.8
    published, first = chance.integers(0, 100, SIZE), chance.choice([NEVER_TOUCHED_MS, 5], SIZE)
    expected = live & (published <= 70) & ((published >= 50) | (first == NEVER_TOUCHED_MS))
    assert _new(NEVER_TOUCHED_MS, 50, 70, live, published, first, rows).tolist() == np.flatnonzero(expected).tolist()


@pytest.mark.parametrize("nowhere", [{"NUMBA_CACHE_LOCATOR_CLASSES": "ZipCacheLocator"}, {"NUMBA_CACHE_DIR": __file__}])
def test_without_a_folder_to_write_to_loops_are_compiled_all_the_same(tmp_path, nowhere):
    (tmp_path / "loops.py").write_text(
        "from learning.compiled import compiled\n\n@compiled('(int64,)')\ndef twice(one):\n    return 2 * one\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", "import loops; print(loops.twice(21))"],
        env={**os.environ, **nowhere, "PYTHONPATH": f"{tmp_path}:{os.getcwd()}"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert told.stdout == "42\n"


def test_a_place_beyond_an_array_is_an_error_while_tests_run():
    with pytest.raises(IndexError):
        standing = np.array([7])
        _new(NEVER_TOUCHED_MS, 0, 1, np.ones(3, np.bool_), standing, standing, standing)

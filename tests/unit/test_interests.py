"""Interests: a few directions, not one blurred mean; dislikes push away."""

import numpy as np
import pytest

from domain.clock import DAY_MS
from domain.interactions import INTERACTION_TYPES
from domain.profile import Touch
from learning.interests import MAX_INTERESTS, SAME_INTEREST, interests, touch_weights

AXES = np.eye(8, dtype=np.float32)


def near(axis: int, other: int, share: float = 0.2) -> np.ndarray:
    mixed = AXES[axis] * (1 - share) + AXES[other] * share
    return mixed / np.linalg.norm(mixed)


def ones(count: int) -> np.ndarray:
    return np.ones(count, np.float32)


def test_nobody_has_no_interests():
    assert interests(np.empty((0, 8), np.float32), np.empty(0, np.float32)).shape == (0, 8)


def test_two_tastes_become_two_interests_the_heavier_first():
    found = interests(np.stack([near(0, 5), near(1, 6), near(1, 7)]), ones(3))
    assert found.shape == (2, 8)
    assert found[0] @ AXES[1] > 0.9 and found[1] @ AXES[0] > 0.9
    assert np.linalg.norm(found, axis=1) == pytest.approx([1, 1], abs=1e-6)


def test_there_are_never_more_than_a_few():
    assert len(interests(AXES, ones(8))) == MAX_INTERESTS


def test_a_dislike_turns_its_closest_interest_away():
    liked = np.stack([near(0, 2, 0.5), near(1, 3)])
    before = interests(liked, ones(2))
    after = interests(np.vstack([liked, AXES[2]]), np.array([1, 1, -0.5], np.float32))
    assert (after @ AXES[2]).max() < (before @ AXES[2]).max()
    assert (after @ AXES[1]).max() == pytest.approx((before @ AXES[1]).max(), abs=1e-6)


def test_only_dislikes_give_no_interest():
    assert len(interests(AXES[:2], -ones(2))) == 0


def test_pull_halves_with_the_half_life_and_follows_type_and_value():
    month = int(30 * DAY_MS)
    touches = (
        Touch(0, "a", "i", "click", None, 0),
        Touch(month, "b", "i", "click", None, 1),
        Touch(month, "c", "i", "dislike", None, 2),
        Touch(month, "d", "i", "rating", 5.0, 3),
        Touch(month, "e", "i", "rating", 1.0, 4),
        Touch(month, "f", "i", "unheard-of", None, 5),
    )
    assert touch_weights(touches, INTERACTION_TYPES).tolist() == pytest.approx([0.5, 1, -3, 3, -1, 0])


def grouped_plainly(vectors: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The definition, word for word: sums of vectors, cosines computed from them each time."""
    sums: list[np.ndarray] = []
    loads: list[float] = []
    for at in np.flatnonzero(weights > 0)[::-1]:
        cosines = [one @ vectors[at] / np.linalg.norm(one) for one in sums]
        best = int(np.argmax(cosines)) if sums else 0
        if not sums or (len(sums) < MAX_INTERESTS and cosines[best] < SAME_INTEREST):
            best = len(sums)
            sums.append(np.zeros(vectors.shape[1]))
            loads.append(0)
        sums[best] = sums[best] + weights[at] * vectors[at]
        loads[best] += weights[at]
    for at in np.flatnonzero(weights < 0)[::-1]:
        cosines = [one @ vectors[at] / np.linalg.norm(one) for one in sums]
        if sums and max(cosines) > 0:
            sums[int(np.argmax(cosines))] += weights[at] * vectors[at]
    heaviest = np.argsort(-np.array(loads), kind="stable")
    return np.array([sums[one] / np.linalg.norm(sums[one]) for one in heaviest])


@pytest.mark.parametrize("seed", range(10))
def test_interests_are_what_their_definition_says(seed):
    chance = np.random.default_rng(seed)
    vectors = chance.standard_normal((40, 6)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    weights = chance.uniform(-0.5, 2, 40).astype(np.float32)
    assert interests(vectors, weights) == pytest.approx(grouped_plainly(vectors, weights), abs=1e-4)

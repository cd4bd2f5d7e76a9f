"""Exploration shows each item as often as it says, under every policy, and never spoils a slate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.selectors.exploration import CHANCES, POOL, UNIFORM, Exploration, _noise, explore, systematic

POLICIES = ("greedy", "epsilon", "thompson")
SEEDS = 2_000


def candidates(count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(seed)
    scores = -np.sort(-generator.normal(size=count)).astype(np.float32)
    return scores, generator.uniform(0.05, 0.8, count).astype(np.float32)


def explored(policy: str, share: float, wanted: int = 6, count: int = 30, seed: int = 0) -> Exploration:
    return explore(*candidates(count), wanted, share, policy, np.random.default_rng(seed))


@pytest.mark.parametrize("policy", ["epsilon", "thompson"])
@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_every_item_is_shown_as_often_as_its_propensity_says(policy, share):
    shown, stated, drawn = np.zeros(30), np.full(30, np.nan), 0
    for seed in range(SEEDS):
        found = explored(policy, share, seed=seed)
        assert len(set(found.places)) == 6 and found.places[0] == 0
        before = stated[found.places]
        assert (np.isnan(before) | (before == found.propensities)).all()
        stated[found.places] = found.propensities
        shown[found.places] += 1
        drawn += found.explored.sum()
    assert np.nansum(stated) == pytest.approx(6, abs=0.05)  # what was never shown is hardly ever shown
    seen = ~np.isnan(stated)
    error = np.sqrt(stated[seen] * (1 - stated[seen]) / SEEDS)
    assert (np.abs(shown[seen] / SEEDS - stated[seen]) <= 4.5 * error).all()
    assert drawn / SEEDS == pytest.approx(min(6 * share, 5), abs=0.05)


@pytest.mark.parametrize("share", [0.1, 0.4, 1.0])
def test_what_a_policy_would_do_is_what_it_does_when_it_runs(share):
    own: dict[str, dict[int, float]] = {name: {} for name in POLICIES}
    told: dict[str, dict[int, float]] = {name: {} for name in POLICIES}
    for policy in POLICIES:
        for seed in range(300):
            found = explored(policy, share, seed=seed)
            own[policy] |= dict(zip(found.places.tolist(), found.propensities.tolist(), strict=True))
            for name, values in found.under.items():
                told[name] |= dict(zip(found.places.tolist(), values.tolist(), strict=True))
    for name in POLICIES:
        assert own[name].items() <= told[name].items()
    assert own["greedy"] == dict.fromkeys(range(6), 1.0) and set(told["greedy"].values()) == {0.0, 1.0}


def test_the_item_at_the_edge_is_kept_or_drawn_and_its_propensity_counts_both():
    share, pool = 1.5 / 6, 30 - 4  # 1 or 2 slots; with 2, place 4 and all after it are the pool
    found = next(one for seed in range(100) if 4 in (one := explored("epsilon", share, seed=seed)).places)
    (slot,) = np.flatnonzero(found.places == 4)
    assert found.propensities[slot] == pytest.approx(0.5 + 0.5 * 2 / pool)


def test_the_greedy_places_at_stake_can_all_be_drawn_however_little_is_unknown_of_them():
    scores, uncertainty = candidates(500)
    uncertainty[:20] = 1e-6
    found = explore(scores, uncertainty, 20, 0.5, "epsilon", np.random.default_rng(0))
    assert (found.propensities[found.explored] == pytest.approx(10 / (10 + POOL))) and found.explored.sum() == 10


def test_nothing_explored_is_the_greedy_slate_for_certain():
    for policy, share, count in (("greedy", 0.5, 30), ("epsilon", 0.0, 30), ("thompson", 0.0, 30), ("thompson", 1, 6)):
        found = explored(policy, share, count=count)
        assert found.places.tolist() == list(range(6)) and not found.explored.any()
        assert (found.propensities == 1).all()
    assert explored("epsilon", 0.0).others(3) is None


def test_only_propensities_that_differ_are_told_apart():
    found = explored("epsilon", 0.5)
    assert found.others(0) is None
    slot = int(np.flatnonzero(found.explored)[0])
    others = found.others(slot)
    assert others["greedy"] == (found.places[slot] < 6) and "epsilon" not in others
    assert explored("epsilon", 0.29, wanted=100, count=300).others(70) is None  # 100 * 0.29 is 28.999…


def test_drawn_items_go_to_the_lower_half_while_it_has_room_and_never_to_the_first_slot():
    slots = {int(at) for seed in range(200) for at in np.flatnonzero(explored("epsilon", 0.4, seed=seed).explored)}
    assert slots == {3, 4, 5}
    slots = {int(at) for seed in range(200) for at in np.flatnonzero(explored("epsilon", 1.0, seed=seed).explored)}
    assert slots == {1, 2, 3, 4, 5}


def test_what_stays_keeps_its_order():
    found = explored("thompson", 0.5, seed=3)
    assert found.places[~found.explored].tolist() == [0, 1, 2]


def test_thompson_prefers_what_may_be_good_and_nearly_forgets_what_cannot_be():
    scores = np.array([1.0, 0.9, 0.5, 0.5, 0.2, -5], np.float32)
    uncertainty = np.array([0.01, 0.01, 0.6, 0.01, 0.6, 0.01], np.float32)
    even, drawn = (CHANCES[name](scores[1:], uncertainty[1:], 1) for name in ("epsilon", "thompson"))
    assert drawn[1] > 3 * drawn[2] and drawn[3] > drawn[2]
    assert drawn[4] == pytest.approx(UNIFORM / 5)
    assert drawn.sum() == pytest.approx(1) and (even / drawn).max() <= 1 / UNIFORM + 1e-9


def test_thompson_of_two_is_close_to_the_normal_probability():
    chance = CHANCES["thompson"](np.array([0.3, 0.0], np.float32), np.array([0.3, 0.4], np.float32), 1)
    assert chance[0] == pytest.approx(0.9 * 0.7257 + 0.1 * 0.5, abs=0.06)  # Phi(0.3 / 0.5) = 0.7257


def test_no_column_of_the_noise_leans_and_a_narrower_one_begins_a_wider():
    assert np.abs(_noise(64).mean(0)).max() < 1e-12
    assert np.array_equal(_noise(64), _noise(128)[:, :64])


def test_systematic_draws_are_distinct_and_in_any_order():
    chances = np.array([0.9, 0.9, 0.1, 0.1])
    draws = [systematic(chances, 2, np.random.default_rng(seed)).tolist() for seed in range(500)]
    assert all(len(set(one)) == 2 for one in draws)
    assert [0, 1] in draws and [1, 0] in draws


def test_the_same_generator_gives_the_same_slate():
    slates = [explored("thompson", 0.5, seed=seed).places.tolist() for seed in (1, 1, 2)]
    assert slates[0] == slates[1] != slates[2]


LARGE = float(np.finfo(np.float32).max)
numbers = st.floats(-LARGE, LARGE, width=32)
positive = st.floats(0, LARGE, width=32, exclude_min=True)


@given(
    st.lists(st.tuples(numbers, positive), max_size=90),
    st.integers(0, 40),
    st.floats(0, 1),
    st.sampled_from(POLICIES),
    st.integers(0, 1_000),
)
def test_any_candidates_give_a_slate_of_the_right_length_without_doubles(pairs, wanted, share, policy, seed):
    scores = np.array([one for one, _ in pairs], np.float32)
    uncertainty = np.array([one for _, one in pairs], np.float32)
    found = explore(scores, uncertainty, wanted, share, policy, np.random.default_rng(seed))
    size = min(wanted, len(pairs))
    assert len(found.places) == len(set(found.places.tolist())) == size
    assert ((found.places >= 0) & (found.places < max(len(pairs), 1))).all()
    assert size == 0 or found.places[0] == 0 and not found.explored[0]
    assert ((found.propensities > 0) & (found.propensities <= 1)).all()
    for values in found.under.values():
        assert len(values) == size and ((values >= 0) & (values <= 1)).all()
    assert (found.under[policy] == found.propensities).all()

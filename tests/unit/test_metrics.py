"""Metrics agree with trec_eval's own code, with definitions computed the long way, and with counting by hand."""

import numpy as np
import pytest
import pytrec_eval

from learning.metrics import HEAD_SHARE, auc, coverage, gini, long_tail, novelty, over_slates, per_event, per_list

K = 10
OURS = {f"recall_{K}": "recall", f"ndcg_cut_{K}": "ndcg", f"success_{K}": "hit", "recip_rank": "mrr"}


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


def trec_eval(ranked: np.ndarray, relevant: np.ndarray) -> dict[str, float]:
    run = {"q": {str(row): float(len(ranked) - at) for at, row in enumerate(ranked)}}
    judged = {"q": dict.fromkeys(map(str, relevant), 1)}
    (found,) = pytrec_eval.RelevanceEvaluator(judged, set(OURS)).evaluate(run).values()
    return {ours: found[theirs] for theirs, ours in OURS.items()}


@pytest.mark.parametrize("seed", range(30))
def test_the_metrics_of_a_list_are_those_of_trec_eval(seed):
    generator = np.random.default_rng(seed)
    ranked = generator.permutation(40)[: generator.integers(1, 41)]
    relevant = generator.permutation(40)[: generator.integers(1, 25)]
    assert per_list(ranked, relevant, K) == pytest.approx(trec_eval(ranked, relevant), abs=1e-12)


def test_the_metrics_of_events_are_those_of_lists_with_one_relevant_item():
    ranked = np.arange(25)
    ranks = rows(0, 1, 9, 10, 24, -1)
    found = per_event(ranks, K)
    for at, rank in enumerate(ranks):
        relevant = rows(rank if rank >= 0 else 99)
        assert {name: values[at] for name, values in found.items()} == pytest.approx(trec_eval(ranked, relevant))


def test_no_events_and_empty_lists_have_metrics_all_the_same():
    assert all(values.shape == (0,) for values in per_event(rows(), K).values())
    nothing = {"recall": 0.0, "ndcg": 0.0, "hit": 0.0, "mrr": 0.0}
    assert per_list(rows(), rows(1), K) == nothing and per_list(rows(1), rows(), K) == nothing


def mean_difference(exposures: np.ndarray) -> float:
    return float(np.abs(exposures[:, None] - exposures[None, :]).sum() / (2 * len(exposures) * exposures.sum()))


@pytest.mark.parametrize("seed", range(10))
def test_gini_is_half_the_relative_mean_difference_of_all_pairs(seed):
    exposures = np.random.default_rng(seed).poisson(0.8, 60)
    assert gini(exposures, 60) == pytest.approx(mean_difference(exposures))


def test_gini_counts_the_catalogue_and_not_the_rows():
    exposures = rows(3, 0, 5, 0)
    assert gini(exposures, 3) == pytest.approx(mean_difference(rows(3, 0, 5)))
    assert gini(rows(2, 2, 2, 2), 4) == pytest.approx(0) and gini(rows(0, 0, 0, 7), 4) == pytest.approx(3 / 4)


def test_coverage_novelty_and_tail_of_an_example_counted_by_hand():
    interactions = rows(8, 4, 2, 1, 1)  # 0 and 1 have 12 of 16; with 2, 14, which is more than 80 %
    slates = [rows(0, 1), rows(0, 2), rows(0, 3)]
    found = over_slates(slates, interactions, catalogue=5)
    assert found["coverage"] == 4 / 5
    assert found["novelty_bits"] == pytest.approx((1 + 2 + 1 + 3 + 1 + 4) / 6)
    assert found["long_tail"] == 1 / 6
    assert found["gini"] == pytest.approx(mean_difference(rows(3, 1, 1, 1, 0)))


def test_an_item_nobody_touched_is_the_most_novel_and_in_the_tail():
    interactions = rows(6, 1, 0)
    assert novelty(rows(2), interactions) == novelty(rows(1), interactions) == pytest.approx(3)
    assert long_tail(rows(0, 1, 2, 2), interactions) == 3 / 4


def test_the_head_is_what_reaches_its_share_and_no_more():
    interactions = rows(*[1] * 10)
    assert long_tail(np.arange(10), interactions) == pytest.approx(1 - HEAD_SHARE)
    assert long_tail(rows(9), rows(*[0] * 10)) == 1


def test_without_slates_everything_is_zero():
    assert set(over_slates([], rows(1, 2), 2).values()) == {0.0}
    assert over_slates([rows()], rows(), 0) == over_slates([], rows(1), 1)
    assert coverage(rows(1, 0), 2) == 0.5


def test_auc_is_the_share_that_is_ranked_below_and_half_by_chance():
    three = auc(np.array([0, 9, 4]), np.full(3, 10), np.full(3, 10))
    assert three.tolist() == pytest.approx([1, 0, 5 / 9])
    assert auc(np.array([-1]), np.array([10]), np.array([111])).tolist() == pytest.approx([1 - 60 / 110])
    chance = np.random.default_rng(1).integers(0, 100, 20_000)
    assert auc(chance, np.full(20_000, 100), np.full(20_000, 100)).mean() == pytest.approx(0.5, abs=0.01)
    assert auc(np.array([0]), np.array([1]), np.array([1])).tolist() == [1]

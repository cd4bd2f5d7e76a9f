"""Off-policy estimates tell what a policy would have earned; the naive average does not."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from cli.off_policy import run_off_policy
from domain.errors import ConfigError
from domain.exposures import ExposedItem, Exposure
from domain.interactions import InteractionType
from learning.intervals import Interval
from learning.off_policy import LOGGED, Outcomes, estimate, estimates, join
from serving.selectors.exploration import explore, systematic
from tests.builders import START_MS, interaction

HOUR_MS = 3_600_000
WANTED = 3
CLICKS = np.array([0.5, 0.3, 0.2, 0.1, 0.1, 0.05, 0.02, 0.02])
RAN = np.array([0.9, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3])
TARGETS = {"best": np.array([0.99, 0.99, 0.9, 0.12, 0, 0, 0, 0]), "even": np.full(8, 3 / 8)}


def simulated(slates: int, seed: int) -> Outcomes:
    """Slates of 3 of 8 items, drawn with the chances RAN, clicked with the chances CLICKS."""
    generator = np.random.default_rng(seed)
    shown = np.concatenate([systematic(RAN, WANTED, generator) for _ in range(slates)])
    return Outcomes(
        slates=np.repeat(np.arange(slates), WANTED),
        propensities=RAN[shown],
        rewards=(generator.random(len(shown)) < CLICKS[shown]).astype(np.float64),
        under={name: target[shown] for name, target in TARGETS.items()},
    )


def truth(target: np.ndarray) -> float:
    return float(target @ CLICKS) / WANTED


def sigmas(interval: Interval, value: float) -> float:
    """How many standard errors lie between an estimate and a value."""
    return abs(interval.mean - value) / ((interval.high - interval.low) / 3.92)


def test_estimates_of_other_policies_agree_with_their_true_value_and_the_naive_average_does_not():
    found = estimates(simulated(6_000, 1))
    assert list(found) == [LOGGED, "best", "even"]
    for name, target in (TARGETS | {LOGGED: RAN}).items():
        one = found[name]
        assert sigmas(one.ips, truth(target)) < 3 and sigmas(one.snips, truth(target)) < 3
        assert one.mean_weight == pytest.approx(1, abs=0.05) and one.slates == 6_000
    for target in TARGETS.values():
        assert sigmas(found[LOGGED].ips, truth(target)) > 5


def test_the_intervals_hold_the_truth_about_as_often_as_they_say():
    held = np.zeros(2)
    for seed in range(60):
        one = estimate(outcomes := simulated(250, seed), outcomes.under["best"])
        held += [within.low <= truth(TARGETS["best"]) <= within.high for within in (one.ips, one.snips)]
    assert (held / 60 >= 0.88).all()


def test_normalising_and_clipping_trade_bias_for_variance():
    found = estimate(outcomes := simulated(3_000, 2), outcomes.under["best"])
    clipped = estimate(outcomes, outcomes.under["best"], clip=2.0)
    assert clipped.ips.mean < found.ips.mean and clipped.ips.high - clipped.ips.low < found.ips.high - found.ips.low
    assert clipped.effective_size > found.effective_size and clipped.mean_weight == found.mean_weight


def test_the_numbers_of_a_small_log_are_those_counted_by_hand():
    outcomes = Outcomes(np.array([0, 0, 1, 1]), np.array([1, 0.5, 1, 0.25]), np.array([1.0, 1, 0, 1]), {})
    found = estimate(outcomes, np.array([1, 0.25, 1, 0.5]))  # weights 1, 0.5, 1, 2
    assert found.ips.mean == pytest.approx(3.5 / 4) and found.snips.mean == pytest.approx(3.5 / 4.5)
    assert found.effective_size == pytest.approx(4.5**2 / 6.25) and found.mean_weight == 4.5 / 4


def test_a_policy_that_shows_what_the_log_cannot_hold_is_seen_by_its_weights():
    found = estimate(outcomes := simulated(500, 0), np.where(outcomes.propensities > 0.5, 0.1, 0.0))
    assert found.mean_weight < 0.1
    assert estimate(outcomes, np.zeros(1_500)).effective_size == 0


def test_an_empty_log_earns_no_number():
    found = estimates(join([], [], HOUR_MS))[LOGGED]
    assert found.slates == 0 and found.effective_size == 0
    assert np.isnan([found.ips.mean, found.snips.mean, found.mean_weight]).all()


def test_greedy_and_thompson_are_judged_from_slates_that_explored_evenly():
    generator = np.random.default_rng(7)
    scores, uncertainty = np.linspace(1, 0.2, 12, dtype=np.float32), np.full(12, 0.2, np.float32)
    clicks = scores.astype(np.float64) ** 2 * 0.6
    slates, events = [], []
    for number in range(2_500):
        slate = explore(scores, uncertainty, 4, 0.5, "epsilon", generator)
        items = [
            ExposedItem(f"i{place}", slot, 0.0, "test", float(slate.propensities[slot]), under=slate.others(slot))
            for slot, place in enumerate(slate.places)
        ]
        slates.append(exposure(f"r{number}", number, *items))
        clicked = slate.places[generator.random(4) < clicks[slate.places]]
        events += [interaction("u", f"i{place}", number) for place in clicked]
    found = estimates(join(slates, events, 500))
    thompson = np.mean([clicks[_ran("thompson", scores, uncertainty, seed)].mean() for seed in range(1_000)])
    for name, value in (("greedy", clicks[:4].mean()), ("thompson", thompson)):
        assert sigmas(found[name].ips, value) < 3 and sigmas(found[name].snips, value) < 3
        assert sigmas(found[LOGGED].ips, value) > 5


def _ran(policy: str, scores: np.ndarray, uncertainty: np.ndarray, seed: int) -> np.ndarray:
    return explore(scores, uncertainty, 4, 0.5, policy, np.random.default_rng(seed)).places


def exposure(recommendation_id: str, second: int, *items: ExposedItem | str, user: str = "u") -> Exposure:
    return Exposure(
        recommendation_id=recommendation_id,
        user_id=user,
        shown_at=START_MS + second * 1000,
        scenario="",
        variant="default",
        fallback=None,
        items=[ExposedItem(one, at, 0.0, "test") if isinstance(one, str) else one for at, one in enumerate(items)],
    )


TWICE = [exposure("r2", 100, "a", "b"), exposure("r1", 0, "a", "c"), exposure("r3", 0, "a", user="other")]


def rewarded(*interactions, slates=TWICE, window_ms: int = HOUR_MS, **types) -> set[tuple[str, str]]:
    """The (slate, item) pairs that are rewarded."""
    outcomes = join(slates, interactions, window_ms, **types)
    ordered = sorted(slates, key=lambda one: (one.shown_at, one.recommendation_id))
    pairs = [(one.recommendation_id, item.item_id) for one in ordered for item in one.items]
    return {pair for pair, reward in zip(pairs, outcomes.rewards, strict=True) if reward}


def test_an_interaction_is_credited_to_the_latest_exposure_before_it():
    assert rewarded(interaction("u", "a", 150)) == {("r2", "a")}
    assert rewarded(interaction("u", "a", 100)) == {("r2", "a")}
    assert rewarded(interaction("u", "a", 99)) == {("r1", "a")}
    assert rewarded(interaction("u", "c", 150)) == {("r1", "c")}
    assert rewarded(interaction("u", "a", -1)) == rewarded(interaction("u", "d", 150)) == set()


def test_an_interaction_that_names_its_slate_is_credited_there_or_nowhere():
    assert rewarded(interaction("u", "a", 150, recommendation_id="r1")) == {("r1", "a")}
    assert rewarded(interaction("u", "a", 99, recommendation_id="r2")) == {("r2", "a")}
    for item, named in (("c", "r2"), ("a", "r3"), ("a", "gone")):
        assert rewarded(interaction("u", item, 150, recommendation_id=named)) == set()


def test_the_window_ends():
    assert rewarded(interaction("u", "c", 10), window_ms=10_000) == {("r1", "c")}
    assert rewarded(interaction("u", "c", 11), window_ms=10_000) == set()
    assert rewarded(interaction("u", "c", 11, recommendation_id="r1"), window_ms=10_000) == set()


def test_only_what_speaks_for_an_item_counts():
    for kind, value in (("impression", None), ("dislike", None), ("rating", 1.0), ("unheard-of", None)):
        assert rewarded(interaction("u", "a", 1, type=kind, value=value)) == set()
    assert rewarded(interaction("u", "a", 1, type="rating", value=5.0)) == {("r1", "a")}
    share = {"share": InteractionType(weight=1.0)}
    assert rewarded(interaction("u", "a", 1, type="share"), types=share) == {("r1", "a")}


def test_an_exposure_that_comes_twice_counts_once_and_order_means_nothing():
    clicks = [interaction("u", "a", 150), interaction("u", "c", 5), interaction("other", "a", 1)]
    once, mixed = join(TWICE, clicks, HOUR_MS), join([*TWICE[::-1], *TWICE], clicks[::-1] * 2, HOUR_MS)
    assert once.rewards.tolist() == mixed.rewards.tolist() == [0, 1, 1, 1, 0]
    assert once.slates.tolist() == mixed.slates.tolist() == [0, 0, 1, 2, 2]


def test_a_policy_that_says_nothing_of_an_item_would_have_done_as_the_one_that_ran():
    drawn = ExposedItem("b", 1, 0.0, "test", 0.25, explored=True, under={"greedy": 0.0})
    outcomes = join([exposure("r", 0, "a", drawn)], [], HOUR_MS)
    assert outcomes.propensities.tolist() == [1, 0.25] and outcomes.under["greedy"].tolist() == [1, 0]


def test_an_exposure_from_before_there_was_exploration_is_still_read():
    old = b'{"item_id":"a","position":0,"score":1.5,"source":"fresh","propensity":1.0}'
    assert msgspec.json.decode(old, type=ExposedItem) == ExposedItem("a", 0, 1.5, "fresh", 1.0, False, None)


@pytest.mark.parametrize("wrong", [{"propensity": 0}, {"propensity": 1.1}, {"under": {"greedy": -0.1}}])
def test_a_propensity_that_is_no_probability_is_refused(wrong):
    raw = json.dumps({"item_id": "a", "position": 0, "score": 1, "source": "fresh"} | wrong)
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(raw, type=ExposedItem)


def files(folder: Path) -> tuple[Path, Path]:
    drawn = ExposedItem("b", 1, 0.0, "test", 0.5, explored=True, under={"greedy": 0.0})
    slates = [exposure(f"r{at}", at * 4_000, "a", drawn) for at in range(20)]
    clicks = [interaction("u", "b", at * 4_000 + 1) for at in range(0, 20, 2)]
    paths = folder / "exposures.jsonl", folder / "interactions.jsonl"
    written: tuple[Sequence[msgspec.Struct], ...] = (slates, clicks)
    for path, records in zip(paths, written, strict=True):
        path.write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in records))
    return paths


def test_the_command_prints_a_table_of_policies(tmp_path, capsys):
    found = run_off_policy(*files(tmp_path))
    first, _, heads, logged, greedy, doubt = capsys.readouterr().out.splitlines()
    assert first == "40 items shown in 20 slates, 10 taken up within 30 min"
    assert heads.split()[:4] == ["policy", "slates", "IPS", "SNIPS"]
    assert logged.split()[:3] == ["logged", "20", "0.2500"] and greedy.split()[:3] == ["greedy", "20", "0.0000"]
    assert doubt.startswith("greedy: mean weight far from 1")
    assert found["greedy"].mean_weight == 0.5


def test_the_command_tells_the_same_as_json(tmp_path, capsys):
    found = run_off_policy(*files(tmp_path), clip=5.0, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert (told["items"], told["rewarded"], told["clip"]) == (40, 10, 5.0)
    assert told["policies"][LOGGED]["ips"]["mean"] == found[LOGGED].ips.mean == 0.25
    assert found[LOGGED] == replace(found[LOGGED], slates=20)


def test_lines_that_cannot_be_read_are_counted_and_the_rest_is_used(tmp_path, capsys):
    exposures, interactions = files(tmp_path)
    exposures.write_bytes(b'oops\n{"user_id": 5}\n' + exposures.read_bytes())
    assert run_off_policy(exposures, interactions)[LOGGED].slates == 20
    assert "2 exposures left out that cannot be read, the first: not valid JSON" in capsys.readouterr().err


def test_no_exposures_are_no_error(tmp_path, capsys):
    _, interactions = files(tmp_path)
    (nothing := tmp_path / "none.jsonl").touch()
    run_off_policy(nothing, interactions)
    assert capsys.readouterr().out == "0 items shown in 0 slates, 0 taken up within 30 min\n"
    run_off_policy(nothing, interactions, as_json=True)
    assert json.loads(capsys.readouterr().out)["policies"][LOGGED]["ips"]["mean"] is None


def test_one_file_without_the_other_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="give both files"):
        run_off_policy(files(tmp_path)[0])

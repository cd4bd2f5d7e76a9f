"""The ranker finds what choices were made by, says probabilities that come true, and stays finite."""

import msgspec
import numpy as np
import pytest

from domain.errors import MalformedEvent
from learning.ranker import CLIP, NEW, OLDER_ARRAYS, PRIOR, Context, Ranker, context_of, standardised

NAMES = ("after_sitting_lift", "popularity_days", "noise")
HERE = Context(2, 1)


def choices(truth: list[float], count: int, seed: int = 1):
    """Slates of 12 candidates, and which one was chosen under a conditional logit with these weights."""
    chance = np.random.default_rng(seed)
    for _ in range(count):
        candidates = standardised(chance.normal(size=(len(truth), 12)).astype(np.float32))
        odds = np.exp(candidates @ np.array(truth))
        yield candidates, int(chance.choice(12, p=odds / odds.sum()))


def taught(truth: list[float], count: int = 6000) -> Ranker:
    ranker = Ranker(NAMES)
    for candidates, chosen in choices(truth, count):
        ranker.learn(candidates, chosen, HERE)
    return ranker


def test_it_finds_the_weights_that_choices_were_made_by():
    assert taught([1.2, -0.5, 0.0]).weights(HERE) == pytest.approx([1.2, -0.5, 0.0], abs=0.15)


def test_its_probabilities_come_true():
    ranker, told, came = taught([1.2, -0.5, 0.0]), [], []
    for candidates, chosen in choices([1.2, -0.5, 0.0], 4000, seed=2):
        odds = np.exp(candidates @ ranker.weights(HERE))
        told += (odds / odds.sum()).tolist()
        came += (np.arange(12) == chosen).tolist()
    told, came = np.array(told), np.array(came)
    for low, high in ((0, 0.03), (0.03, 0.1), (0.1, 0.25), (0.25, 0.5), (0.5, 1)):
        part = (told >= low) & (told < high)
        assert came[part].mean() == pytest.approx(told[part].mean(), abs=0.03)


def test_other_histories_and_pauses_keep_their_own_weights():
    ranker = taught([1.2, -0.5, 0.0], 500)
    assert ranker.weights(Context(4, 3)).tolist() == pytest.approx([PRIOR.get(name, 0.0) for name in NAMES])


def test_before_anything_is_learned_the_prior_speaks():
    assert Ranker(NAMES).weights(HERE).tolist() == pytest.approx([PRIOR[NAMES[0]], PRIOR[NAMES[1]], 0.0])


def test_what_nobody_has_touched_has_weights_of_its_own():
    """Old items are chosen by popularity; new ones, of which there is none, by their text."""
    ranker, chance = Ranker(("popularity_days", "text_history", NEW)), np.random.default_rng(4)
    for _ in range(4000):
        new = np.arange(12) < 4
        candidates = standardised(np.stack([chance.normal(size=12) * ~new, chance.normal(size=12), new]))
        odds = np.exp(np.where(new, 1.5 * candidates[:, 1], candidates[:, 0]))
        ranker.learn(candidates, int(chance.choice(12, p=odds / odds.sum())), HERE)
    text = ranker.weighted(candidates, HERE)[:, 1] / candidates[:, 1]
    assert text[:4].min() > 0.7 > 0.3 > text[4:].max()
    again = Ranker.from_bytes(ranker.to_bytes(), ranker.names)
    assert again.weighted(candidates, HERE).tolist() == ranker.weighted(candidates, HERE).tolist()


def test_where_all_is_new_or_nothing_is_the_usual_weights_hold():
    ranker = Ranker((*NAMES, NEW))
    for told in (np.zeros(12), np.ones(12)):
        candidates = standardised(np.vstack([np.random.default_rng(5).normal(size=(3, 12)), told]))
        assert ranker.weighted(candidates, HERE).tolist() == (candidates * ranker.weights(HERE)).tolist()


def test_a_ranker_from_before_new_items_had_weights_is_read():
    once = taught([1.0, 0.5, 0.3], 300)
    form, (names, learned, arrays) = once.to_bytes()[:1], msgspec.msgpack.decode(once.to_bytes()[1:])
    older = Ranker.from_bytes(form + msgspec.msgpack.encode((names, learned, arrays[:OLDER_ARRAYS])), NAMES)
    assert older.weights(HERE).tolist() == once.weights(HERE).tolist() and older.learned == 300


def test_learning_goes_on_where_it_was_saved():
    once, saved = Ranker(NAMES), Ranker(NAMES)
    for at, (candidates, chosen) in enumerate(choices([1.0, 0.0, -1.0], 400)):
        once.learn(candidates, chosen, HERE)
        if at == 200:
            saved = Ranker.from_bytes(saved.to_bytes(), NAMES)
        saved.learn(candidates, chosen, HERE)
    assert saved.to_bytes() == once.to_bytes() and saved.learned == 400


def test_a_feature_that_a_saved_ranker_did_not_know_keeps_its_prior_and_one_that_is_gone_is_left_out():
    saved = taught([1.0, 0.5, 0.3], 300)
    other = Ranker.from_bytes(saved.to_bytes(), ("popularity_weeks", "after_sitting_lift"))
    assert other.weights(HERE).tolist() == pytest.approx([PRIOR["popularity_weeks"], saved.weights(HERE)[0]])


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x02abc", Ranker(NAMES).to_bytes()[:-9], b"\x01\x93\x90\x00\x90"])
def test_damaged_weights_are_refused(raw):
    with pytest.raises(MalformedEvent):
        Ranker.from_bytes(raw, NAMES)


def test_weights_that_are_not_finite_are_refused():
    broken = Ranker(NAMES)
    broken._weights[0, 0] = np.nan
    with pytest.raises(MalformedEvent, match="finite"):
        Ranker.from_bytes(broken.to_bytes(), NAMES)


def test_nothing_that_features_say_makes_it_less_than_finite():
    wild = np.array([[0, 1e30, -1e30, 0], [5, 5, 5, 5], [1, 2, 3, 4]], np.float32)
    candidates = standardised(wild)
    assert np.isfinite(candidates).all() and np.abs(candidates).max() <= CLIP and not candidates[:, 1].any()
    ranker = Ranker(NAMES)
    for _ in range(100):
        ranker.learn(candidates, 1, HERE)
    assert np.isfinite(ranker.weights(HERE)).all()


def test_a_slate_of_one_candidate_teaches_nothing():
    ranker = Ranker(NAMES)
    ranker.learn(standardised(np.ones((3, 1), np.float32)), 0, HERE)
    assert ranker.weights(HERE).tolist() == Ranker(NAMES).weights(HERE).tolist()


def test_the_context_goes_by_history_and_pause():
    assert context_of(0, 10**13) == Context(0, 4) and context_of(2, 500) == Context(1, 0)
    assert context_of(10**6, -5) == Context(5, 0)

"""The sequence model learns what can be learned, resumes, refreshes, and never gives what is not finite."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from learning.sequence.artefact import Artefact
from learning.sequence.config import SequenceConfig
from learning.sequence.curriculum import Progress
from learning.sequence.fitting import NotFinite
from learning.sequence.inference import SequenceEncoder
from learning.sequence.training import Trained, train

ITEMS = 30
IDS = [f"i{row}" for row in range(ITEMS)]
TEXTS = np.random.default_rng(0).standard_normal((ITEMS, 12)).astype(np.float32)
TEXTS /= np.linalg.norm(TEXTS, axis=1, keepdims=True)
HOUR = 3_600_000
SMALL = SequenceConfig(
    width=16, length=10, epochs=20, batch_events=64, ahead=1, dropout=0.1, learning_rate=0.01, warmup=5, averaging=0.8
)


def circle(
    users: int, events: int, start: int = 0, step: int = 1, seed: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Users who walk around the first 20 items, each `step` from the last: what comes next is certain."""
    random = np.random.default_rng(seed)
    at = random.integers(0, 20, users)
    return [
        ((first + step * np.arange(events)) % 20, (start + user + np.arange(events) * 7) * HOUR)
        for user, first in enumerate(at)
    ]


def hits(artefact: Artefact, step: int = 1) -> float:
    """How often the model's first choice is `step` from the last of four."""
    encoder = SequenceEncoder(artefact)
    vectors = encoder.item_vectors(IDS, TEXTS)
    found = []
    for first in range(20):
        rows, times = (first + step * np.arange(4)) % 20, np.arange(4) * 7 * HOUR
        scores = vectors @ encoder.user_vector(vectors[rows], times, 28 * HOUR)
        scores[rows] = -np.inf
        found.append(scores.argmax() == (first + step * 4) % 20)
    return float(np.mean(found))


def same(one: Artefact, other: Artefact) -> bool:
    """Whether two are equal but for the last place of half precision, which the order of threads' sums decides."""
    return one.item_ids == other.item_ids and all(
        np.allclose(weight, other.weights[name], atol=5e-3) for name, weight in one.weights.items()
    )


@pytest.fixture(scope="module")
def trained() -> Trained:
    return train(circle(60, 12), TEXTS, IDS, SMALL)


def test_it_learns_what_always_comes_next(trained):
    assert hits(trained.artefact) > 0.9
    assert trained.artefact.facts.ndcg > 0.8


def test_the_same_seed_gives_the_same_model_and_another_gives_another(trained):
    assert same(train(circle(60, 12), TEXTS, IDS, SMALL).artefact, trained.artefact)
    other = msgspec.structs.replace(SMALL, seed=7)
    assert not same(train(circle(60, 12), TEXTS, IDS, other).artefact, trained.artefact)


def test_the_artefact_says_what_it_was_made_of(trained):
    facts = trained.artefact.facts
    assert (facts.events, facts.from_ms, facts.until_ms) == (720, 0, (59 + 77) * HOUR)
    assert facts.steps > 0 and facts.ndcg == max(point.ndcg or 0 for point in trained.curve)


def test_an_item_nobody_touched_has_no_residual(trained):
    assert set(trained.artefact.item_ids) == set(IDS[:20])


def test_an_interrupted_training_ends_as_if_it_had_not_been(tmp_path: Path, trained):
    def interrupt(point: Progress) -> None:
        if point.done == 3:
            raise KeyboardInterrupt

    file = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(circle(60, 12), TEXTS, IDS, SMALL, progress=interrupt, checkpoint=file)
    assert file.exists()
    resumed = train(circle(60, 12), TEXTS, IDS, SMALL, checkpoint=file)
    assert same(resumed.artefact, trained.artefact)
    assert not file.exists()


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_damaged_checkpoint_is_begun_anew(tmp_path: Path, trained, content):
    file = tmp_path / "checkpoint"
    file.write_bytes(content)
    assert same(train(circle(60, 12), TEXTS, IDS, SMALL, checkpoint=file).artefact, trained.artefact)


def test_a_checkpoint_of_another_log_is_not_gone_on_from(tmp_path: Path, trained):
    def interrupt(point: Progress) -> None:
        raise KeyboardInterrupt

    file = tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(circle(50, 12), TEXTS, IDS, SMALL, progress=interrupt, checkpoint=file)
    assert same(train(circle(60, 12), TEXTS, IDS, SMALL, checkpoint=file).artefact, trained.artefact)


def test_progress_is_reported_after_each_epoch(trained):
    seen: list[Progress] = []
    train(circle(60, 12), TEXTS, IDS, SMALL, progress=seen.append)
    assert seen == trained.curve
    assert [point.done for point in seen if point.stage == "fit"] == list(
        range(1, 1 + sum(p.stage == "fit" for p in seen))
    )


def test_training_ends_when_its_seconds_are_over():
    hurried = SequenceConfig(width=16, length=10, epochs=10_000, patience=10_000, seconds=0.5)
    assert len(train(circle(60, 12), TEXTS, IDS, hurried).curve) < 1000


def test_a_refresh_learns_what_is_new_and_does_not_forget_all_that_was(trained):
    both = circle(60, 12) + circle(60, 12, start=1000, step=3, seed=1)
    config = SequenceConfig(refresh_steps=80, batch_events=256, ahead=1, learning_rate=0.01, warmup=5)
    refreshed = train(both, TEXTS, IDS, config, start_from=trained.artefact).artefact
    assert hits(refreshed, step=3) > 0.8 > hits(trained.artefact, step=3)
    assert hits(refreshed) > 0.4
    assert refreshed.facts.steps > trained.artefact.facts.steps


def test_a_refresh_takes_items_and_rows_as_they_are_now(trained):
    order = np.random.default_rng(3).permutation(ITEMS)
    place = np.argsort(order)
    moved = [(place[rows], times) for rows, times in circle(60, 12)]
    config = SequenceConfig(refresh_steps=1, learning_rate=1e-6)
    texts, ids = TEXTS[order], [IDS[row] for row in order]
    assert hits(train(moved, texts, ids, config, start_from=trained.artefact).artefact) > 0.9


def test_a_refresh_from_another_text_model_is_refused(trained):
    with pytest.raises(ValueError, match="width 5"):
        train(circle(9, 9), TEXTS[:, :5], IDS, SMALL, start_from=trained.artefact)


def test_a_sample_of_the_catalogue_teaches_the_same():
    sampled = SequenceConfig(
        width=16, length=10, batch_events=64, ahead=1, learning_rate=0.01, warmup=5, averaging=0.8,
        full_softmax_items=0, negatives=8,
    )  # fmt: skip
    assert hits(train(circle(60, 12), TEXTS, IDS, sampled).artefact) > 0.8


def one(*rows: int, times: list[int] | None = None) -> tuple[np.ndarray, np.ndarray]:
    return np.array(rows, np.int64), np.array(times or [at * HOUR for at in range(len(rows))], np.int64)


@pytest.mark.parametrize(
    "sequences",
    [
        [one(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)],
        [one(0, 1)],
        [one(0, 0)],
        [one(0, 0, 0, 0, 1, 1, 0, 0, 0, 0)] * 5,
        [one(), one(3), one(1, 2)],
        [one(1, 2, 3, times=[0, 10**15, 5])],
        [one(1, 2, 3, times=[-(10**14), -5, 10**15])],
        [one(1, 2, 3, times=[7, 7, 7])] * 9,
    ],
    ids=["one user", "two events", "one item twice", "repeats", "empty users", "jumps back", "ages", "one moment"],
)
def test_odd_logs_give_finite_models(sequences):
    artefact = train(sequences, TEXTS, IDS, SequenceConfig(width=16, length=10, epochs=3)).artefact
    encoder = SequenceEncoder.from_bytes(artefact.to_bytes())
    vectors = encoder.item_vectors(IDS, TEXTS)
    rows, times = sequences[-1]
    assert np.isfinite(vectors @ encoder.user_vector(vectors[rows], times, 0)).all()


def test_a_catalogue_of_one_item_and_items_without_text_give_finite_models():
    lonely = train([one(0, 0, 0)] * 3, TEXTS[:1], IDS[:1], SequenceConfig(width=16, epochs=2)).artefact
    mute = train(circle(20, 12), np.zeros_like(TEXTS), IDS, SMALL).artefact
    assert np.isfinite(lonely.weights["text"]).all()
    assert all(np.isfinite(weight).all() for weight in mute.weights.values())


@pytest.mark.parametrize(
    ("sequences", "texts", "reason"),
    [
        ([], TEXTS, "nothing to learn"),
        ([one()], TEXTS, "nothing to learn"),
        ([one(1), one(2)], TEXTS, "nothing to learn"),
        ([one(1, ITEMS)], TEXTS, "row"),
        ([one(1, -1)], TEXTS, "row"),
        ([one(1, 2)], TEXTS[:-1], "shape"),
        ([one(1, 2)], np.full_like(TEXTS, np.nan), "finite"),
        ([(np.array([1, 2]), np.array([1]))], TEXTS, "times"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_with_the_reason(sequences, texts, reason):
    with pytest.raises(ValueError, match=reason):
        train(sequences, texts, IDS, SMALL)


def test_a_training_that_diverges_says_so():
    with pytest.raises(NotFinite):
        train(circle(60, 12), TEXTS * 1e30, IDS, SequenceConfig(width=16, learning_rate=1e20))

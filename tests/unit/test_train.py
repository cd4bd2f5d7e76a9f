"""`freshet train` on a folder: artefacts that replicas read, that know the log's structure, the same each time."""

import json
import random
from pathlib import Path
from zlib import crc32

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from cli.candidates import compared
from cli.main import build
from domain.errors import ConfigError
from learning.ranker import Ranker
from learning.sequence.inference import SequenceEncoder
from learning.sequence.judged import LEAST, before, ranks_in, tail_of
from serving.features import NAMES

START_MS = 1_700_000_000_000
ITEMS, USERS, EACH, MINUTE = 24, 80, 9, 60_000
CHANCE = sum(1 / np.log2(rank + 2) for rank in range(10)) / ITEMS
"""nDCG@10 of a random order, a little more than it is: some items are out of the question."""


class Texts:
    """A text encoder without a model: the same text, the same direction, whatever the text says."""

    version, dimension = "texts", 16

    def __init__(self, *_: object) -> None:
        pass

    def encode(self, texts: list[str]) -> np.ndarray:
        dice = (np.random.default_rng(crc32(text.encode())) for text in texts)
        found = np.array([one.standard_normal(self.dimension) for one in dice], np.float32)
        return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.training_log.TransformerEncoder", Texts)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def write(folder: Path, items: list[dict], events: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    for name, lines in (("items", items), ("interactions", events)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def cycle(users: int = USERS, seed: int = 1) -> tuple[list[dict], list[dict]]:
    """Everybody goes round the catalogue, each from where they like: after i5 comes i6."""
    dice = random.Random(seed)
    items = [{"item_id": f"i{at}", "title": f"Film {at}"} for at in range(ITEMS)]
    events = []
    for user in range(users):
        first, began = dice.randrange(ITEMS), START_MS + dice.randrange(USERS * EACH) * MINUTE
        for step in range(EACH):
            event = {"event_id": f"{user}-{step}", "type": "click", "user_id": f"u{user}"}
            events.append(event | {"item_id": f"i{(first + step) % ITEMS}", "event_time": began + step * MINUTE})
    return items, events


def run(*arguments: object) -> Result:
    return CliRunner().invoke(build(), ["train", *map(str, arguments)])


def ndcg_told(result: Result) -> float:
    assert result.exit_code == 0, result.output
    return float(result.output.split("nDCG@10 ")[1].split()[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "log", *cycle())


def test_a_sequence_model_is_written_that_replicas_read_and_that_knows_what_comes_next(folder, tmp_path):
    done = run("sequence", folder, "--out", tmp_path / "model")
    assert ndcg_told(done) > 2 * CHANCE
    encoder = SequenceEncoder.from_bytes((tmp_path / "model").read_bytes())
    ids = [f"i{at}" for at in range(ITEMS)]
    vectors = encoder.item_vectors(ids, Texts().encode([f"Film {at}" for at in range(ITEMS)]))
    times = START_MS + np.arange(3) * MINUTE
    right = 0
    for at in range(ITEMS):
        history = (at + np.arange(3)) % ITEMS
        scores = vectors @ encoder.user_vector(vectors[history], times, int(times[-1]) + MINUTE)
        scores[history] = -np.inf
        right += (at + 3) % ITEMS in np.argsort(-scores)[:3]
    assert right > ITEMS / 2, "chance is one in seven"


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(folder, tmp_path):
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        assert run("sequence", folder, "--out", tmp_path / name, "--seed", seed).exit_code == 0
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again != other


def test_an_interrupted_training_leaves_its_checkpoint_and_a_finished_one_does_not(folder, tmp_path, monkeypatch):
    checkpoint = tmp_path / "half-way"
    with monkeypatch.context() as interrupted:

        def stop(_: object, point) -> None:
            if point.done == 3:
                raise KeyboardInterrupt

        interrupted.setattr("cli.train_sequence._Bar.told", stop)
        run("sequence", folder, "--out", tmp_path / "none", "--checkpoint", checkpoint)
    assert checkpoint.exists() and not (tmp_path / "none").exists()
    run("sequence", folder, "--out", tmp_path / "resumed", "--checkpoint", checkpoint)
    run("sequence", folder, "--out", tmp_path / "whole")
    assert not checkpoint.exists()
    assert (tmp_path / "resumed").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_ranker_is_written_that_beats_chance_and_is_the_same_each_time(folder, tmp_path):
    for name in "ab":
        done = run("ranker", folder, "--out", tmp_path / name, "--learn-on", 300)
        assert ndcg_told(done) > 2 * CHANCE
    raw = (tmp_path / "a").read_bytes()
    assert raw == (tmp_path / "b").read_bytes()
    assert Ranker.from_bytes(raw, NAMES).learned > 100


@pytest.mark.parametrize("model", ["sequence", "ranker"])
@pytest.mark.parametrize("again", [1, 30])
def test_a_log_of_one_user_and_one_item_is_refused_in_a_sentence(tmp_path, model, again):
    event = {"type": "click", "user_id": "u", "item_id": "i"}
    events = [event | {"event_id": f"e{at}", "event_time": START_MS + at * MINUTE} for at in range(again)]
    log = write(tmp_path / "log", [{"item_id": "i", "title": "Alone"}], events)
    done = run(model, log, "--out", tmp_path / "model")
    assert isinstance(done.exception, ConfigError) and "cannot be trained" in str(done.exception)
    assert not (tmp_path / "model").exists()


def test_a_folder_without_a_log_says_what_is_missing(tmp_path):
    assert "no items.jsonl in it" in str(run("sequence", tmp_path).exception)


def test_the_tail_is_the_newest_share_and_only_what_continues_a_history_with_something_new():
    rows, times = np.array([0, 1, 2, 1, 3]), np.arange(5) * 10
    alone = (np.array([5, 6]), np.array([39, 40]))
    tail = tail_of([(rows, times), alone], 0.6, 100)
    assert tail.since_ms == 30 or tail.since_ms == 20
    pairs = list(zip(tail.users.tolist(), tail.places.tolist(), strict=True))
    assert (0, 4) in pairs and (0, 3) not in pairs, "row 1 was in the history already"
    assert (1, 0) not in pairs, "nobody has a history before the first event"
    assert [len(kept) for kept, _ in before([(rows, times), alone], tail.since_ms)] == [tail.since_ms // 10, 0]


def test_a_tail_is_thinned_evenly_and_an_empty_log_has_none():
    sequences = [(np.arange(1000), np.arange(1000))]
    thinned = tail_of(sequences, 0.5, 50)
    assert len(thinned.places) == 50 and thinned.places[0] == 500 and thinned.places[-1] == 999
    assert not len(tail_of([], 0.1, 50).users)


def test_the_tail_is_what_the_active_model_has_not_seen_where_that_is_enough():
    sequences = [(np.arange(2000), np.arange(2000))]
    assert tail_of(sequences, 0.1, 10, seen_until_ms=1000).since_ms == 1800, "it has seen less than is kept back"
    later = tail_of(sequences, 0.1, 10, seen_until_ms=1850)
    assert later.since_ms == 1851 and later.fresh
    seen = tail_of(sequences, 0.1, 10, seen_until_ms=2000 - LEAST // 2)
    assert seen.since_ms == 1800 and not seen.fresh


def test_ranks_count_only_what_the_user_had_not_touched_and_ties_against_the_model():
    class Known:
        length = 50

        def user_vector(self, items: np.ndarray, times: np.ndarray, now: int) -> np.ndarray:
            return np.ones(1, np.float32)

    items = np.array([[9], [5], [3], [3], [1]], np.float32)
    sequences = [(np.array([0, 2, 4]), np.array([0, 1, 2]))]
    tail = tail_of(sequences, 0.9, 10)
    assert list(ranks_in(Known(), items, sequences, tail)) == [2, 2]


def test_a_candidate_is_better_only_if_it_beats_the_active_one():
    users, first, last = np.arange(20), np.zeros(20, np.int64), np.full(20, 30)
    assert compared(first, users, last, "v1").better and not compared(last, users, first, "v1").better
    assert not compared(first, users, first, "v1").better, "a tie changes nothing"
    assert compared(last, users, None, "").better and compared(last, users, None, "").comparison == {}
    told = compared(first, users, last, "v1").comparison
    assert told["against"] == "v1" and told["ndcg@10"]["candidate"] == 1 and told["ndcg@10"]["active"] == 0
    none = np.zeros(0, np.int64)
    assert not compared(none, none, none, "v1").better, "without events nothing was shown to be better"

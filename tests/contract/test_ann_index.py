"""One suite for every AnnIndex: the exact NumPy one, FAISS while exact, FAISS forced to be approximate."""

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import faiss
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import embeddings.faiss_index as faiss_index
from domain.errors import DimensionMismatch, SnapshotCorrupt
from embeddings.ann_index import AnnIndex, IndexState
from embeddings.exact_index import ExactIndex
from embeddings.faiss_index import FaissIndex
from embeddings.faiss_main import main_over
from embeddings.snapshot import new_snapshot

D = 8


class Approximate(FaissIndex):
    """Never exact by itself, and builds its main index anew after every second change."""

    def __init__(self, dimension: int, exact_below: int = 0) -> None:
        super().__init__(dimension, 0)
        self.changes = 0

    def add(self, ids, vectors):
        super().add(ids, vectors)
        self._changed()

    def remove(self, ids):
        super().remove(ids)
        self._changed()

    def _changed(self):
        self.changes += 1
        if self.changes % 2 == 0:
            self.rebuild_now()


Make = Callable[[int], AnnIndex]
Kind = TypeVar("Kind", bound=AnnIndex)
KINDS: list[type[AnnIndex]] = [ExactIndex, FaissIndex, Approximate]
every_kind = pytest.mark.parametrize("make", KINDS)
exact_kinds = pytest.mark.parametrize("make", [ExactIndex, FaissIndex])


def unit(rows):
    rows = np.asarray(rows, np.float32)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def random_rows(count, dimension=D, seed=0):
    return unit(np.random.default_rng(seed).standard_normal((count, dimension)))


def clustered(count, dimension=64, seed=0):
    """Topics of some 50 rows, near enough to each other that their edges mix."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((max(1, count // 50), dimension))
    return unit(centres[rng.integers(0, len(centres), count)] + 0.8 * rng.standard_normal((count, dimension)))


def filled(make: Callable[[int], Kind], count=200, seed=0) -> tuple[Kind, np.ndarray]:
    rows = random_rows(count, seed=seed)
    index = make(D)
    index.add(np.arange(count), rows)
    return index, rows


def recall(index, oracle, queries, k=10, allowed=None):
    _, truth = oracle.search(queries, k, allowed)
    _, found = index.search(queries, k, allowed)
    pairs = [(set(one) - {-1}, set(other)) for one, other in zip(truth, found, strict=True)]
    return sum(len(one & other) for one, other in pairs) / max(1, sum(len(one) for one, _ in pairs))


def by_hand(held: dict, query, k, allowed):
    """What a search must give, from the definition: (similarity, id), best first, ties by id."""
    able = [one for one in held if allowed is None or (one < len(allowed) and allowed[one])]
    pairs = [(np.float32(np.dot(held[one].astype(float), query.astype(float))), one) for one in able]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1]))[:k]


# ---- what every index does ----


@every_kind
def test_it_says_what_it_holds_and_what_a_search_finds_of_it(make):
    index = make(D)
    assert index.state().vectors == 0 and index.recall(8, 5, 0) is None
    index, _ = filled(make)
    index.remove(np.arange(50))
    assert index.state().vectors == len(index) == 150
    assert index.recall(32, 10, 0) >= (0.9 if make is Approximate else 1.0)
    assert index.recall(8, 1000, 1) <= 1.0  # more than there are


@every_kind
def test_similarities_descend_and_the_nearest_is_the_row_itself(make):
    index, rows = filled(make)
    scores, ids = index.search(rows[:20], 5)
    assert scores.dtype == np.float32 and ids.dtype == np.int64
    assert ids[:, 0].tolist() == list(range(20))
    assert np.allclose(scores[:, 0], 1, atol=1e-6)
    assert (np.diff(scores, axis=1) <= 0).all()


@every_kind
def test_an_empty_index_gives_missing_places(make):
    scores, ids = make(D).search(random_rows(3), 4)
    assert scores.shape == ids.shape == (3, 4)
    assert (ids == -1).all() and (scores == -np.inf).all()
    assert len(make(D)) == 0 and make(D).dimension == D


@every_kind
def test_k_beyond_the_rows_fills_up_with_missing_places(make):
    index, rows = filled(make, 3)
    scores, ids = index.search(rows[:1], 10)
    assert sorted(ids[0][:3]) == [0, 1, 2]
    assert (ids[0][3:] == -1).all() and (scores[0][3:] == -np.inf).all()


@every_kind
def test_no_query_and_no_k_give_empty_answers(make):
    index, rows = filled(make)
    assert index.search(np.empty((0, D), np.float32), 5)[1].shape == (0, 5)
    assert index.search(rows[:2], 0)[1].shape == (2, 0)


@every_kind
def test_adding_nothing_changes_nothing(make):
    index = make(D)
    index.add(np.empty(0, np.int64), np.empty((0, D), np.float32))
    index.remove(np.empty(0, np.int64))
    assert len(index) == 0


@every_kind
def test_an_id_that_is_added_again_is_replaced(make):
    index, rows = filled(make)
    index.add(np.array([7]), -rows[7:8])
    assert len(index) == 200
    assert index.search(-rows[7:8], 1)[1][0, 0] == 7
    assert index.search(rows[7:8], 200)[1][0, -1] == 7


@every_kind
def test_of_an_id_given_twice_the_last_counts(make):
    index = make(D)
    rows = random_rows(3)
    index.add(np.array([5, 6, 5]), rows)
    assert len(index) == 2
    assert index.search(rows[2:], 1)[1][0, 0] == 5


@every_kind
def test_removed_ids_are_gone_and_unknown_ones_are_ignored(make):
    index, rows = filled(make)
    index.remove(np.array([3, 3, 4, 10_000, -1]))
    assert len(index) == 198
    assert not {3, 4} & set(index.search(rows[3:5], 200)[1].ravel())
    index.add(np.array([3]), rows[3:4])
    assert len(index) == 199
    assert index.search(rows[3:4], 1)[1][0, 0] == 3


@every_kind
def test_vectors_come_back_as_they_were_added_and_zeros_for_what_is_not_held(make, tmp_path):
    index, rows = filled(make)
    index.add(np.array([7, 900]), rows[[9, 11]])
    index.remove(np.array([3]))
    index.save(tmp_path / "index")
    for one in (index, type(index).load(tmp_path / "index")):
        found = one.vectors_of(np.array([5, 7, 3, 900, 901, 10_000, -1, 5]))
        assert found.dtype == np.float32
        assert (found == np.stack([rows[5], rows[9], 0 * rows[0], rows[11], *[0 * rows[0]] * 3, rows[5]])).all()
        one.add(np.array([3]), rows[20:21])
        assert (one.vectors_of(np.array([3, 5])) == rows[[20, 5]]).all()
        assert one.vectors_of(np.empty(0, np.int64)).shape == (0, D)
    assert (make(D).vectors_of(np.array([0, 1])) == 0).all()


@every_kind
def test_only_allowed_ids_are_found_and_a_short_mask_ends_there(make):
    index, rows = filled(make)
    allowed = np.zeros(50, np.bool_)
    allowed[10:20] = True
    ids = index.search(rows[:5], 40, allowed)[1]
    assert {*ids.ravel()} == {-1, *range(10, 20)}
    assert (index.search(rows[:5], 3, np.zeros(0, np.bool_))[1] == -1).all()


@exact_kinds
def test_equal_similarities_come_by_ascending_id_however_many_there_are(make):
    index = make(D)
    index.add(np.arange(300)[::-1].copy(), np.repeat(random_rows(1), 300, axis=0))
    index.add(np.array([1000]), random_rows(1, seed=1))
    for batch in (1, 40):
        assert index.search(np.repeat(random_rows(1), batch, axis=0), 5)[1][-1].tolist() == [0, 1, 2, 3, 4]


@every_kind
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_vectors_that_are_not_finite_are_refused_whole(make, bad):
    index, rows = filled(make, 5)
    broken = random_rows(2, seed=9)
    broken[1, 3] = bad
    with pytest.raises(ValueError, match="finite"):
        index.add(np.array([8, 9]), broken)
    with pytest.raises(ValueError, match="finite"):
        index.search(broken, 3)
    assert len(index) == 5


@every_kind
def test_shapes_that_do_not_fit_are_refused(make):
    index, rows = filled(make, 5)
    with pytest.raises(DimensionMismatch, match=r"expected \(B, 8\), got shape \(2, 9\)"):
        index.add(np.arange(2), random_rows(2, D + 1))
    with pytest.raises(DimensionMismatch):
        index.add(np.arange(3), random_rows(2))
    with pytest.raises(DimensionMismatch):
        index.search(rows[0], 1)
    with pytest.raises(ValueError, match="row numbers"):
        index.add(np.array([-1]), rows[:1])
    with pytest.raises(ValueError, match="at least 0"):
        index.search(rows, -1)
    with pytest.raises(ValueError, match="booleans"):
        index.search(rows, 1, np.ones(5, np.int8))


# ---- FAISS beside the oracle ----

POOL = unit([*np.eye(4), [3, 4, 0, 0], [4, 3, 0, 0], [-1, 0, 0, 0], [1, 1, 1, 1], [1, -1, 1, -1], [0, 0, 3, -4]])
changes = st.lists(
    st.tuples(st.booleans(), st.lists(st.tuples(st.integers(0, 60), st.integers(0, 9)), min_size=1, max_size=40)),
    max_size=8,
)
masks = st.none() | st.lists(st.booleans(), max_size=70).map(lambda bits: np.array(bits, np.bool_))


@every_kind
@settings(max_examples=60)
@given(changes=changes, query=st.integers(0, 9), k=st.integers(0, 70), allowed=masks)
def test_any_sequence_of_changes_finds_what_the_definition_says(make, changes, query, k, allowed):
    index, held = make(4), {}
    for adds, pairs in changes:
        ids = np.array([one for one, _ in pairs])
        if adds:
            index.add(ids, POOL[[row for _, row in pairs]])
            held |= {one: POOL[row] for one, row in pairs}
        else:
            index.remove(ids)
            held = {one: row for one, row in held.items() if one not in ids}
    expected = by_hand(held, POOL[query], k, allowed)
    scores, found = (row[0] for row in index.search(POOL[query : query + 1], k, allowed))
    assert len(index) == len(held)
    assert scores[: len(expected)].tolist() == [score for score, _ in expected]
    assert (found[len(expected) :] == -1).all() and (scores[len(expected) :] == -np.inf).all()
    if make is Approximate:  # which of equal ones it finds is open, but not how similar they are
        able = dict((one, score) for score, one in by_hand(held, POOL[query], len(held), allowed))
        assert [able[one] for one in found[: len(expected)]] == scores[: len(expected)].tolist()
        assert len({*found[: len(expected)]}) == len(expected)
    else:
        assert found[: len(expected)].tolist() == [one for _, one in expected]


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("share", [None, 0.9, 0.3, 0.02])
def test_faiss_while_exact_equals_the_oracle(batch, share):
    rng = np.random.default_rng(3)
    rows = clustered(3000)
    oracle, index = ExactIndex(64), FaissIndex(64)
    for one in (oracle, index):
        one.add(np.arange(3000), rows)
        one.remove(np.arange(0, 3000, 7))
        one.add(np.arange(100, 200), rows[:100])  # now there are pairs of equal vectors
    allowed = None if share is None else rng.random(2900) < share
    for k in (1, 10, 150):
        expected = oracle.search(rows[:batch], k, allowed)
        found = index.search(rows[:batch], k, allowed)
        assert (found[1] == expected[1]).all() and (found[0] == expected[0]).all()


@pytest.fixture(scope="module")
def large():
    """20,000 clustered rows in a main index, 500 of them replaced and 500 removed since, and the oracle."""
    rows = clustered(20_000)
    oracle, index = ExactIndex(64), FaissIndex(64, exact_below=0)
    index.add(np.arange(20_000), rows)
    index.rebuild_now()
    for one in (oracle, index):
        one.add(np.arange(20_000), rows)
        one.add(np.arange(500), clustered(500, seed=1))
        one.remove(np.arange(500, 1000))
    assert index._main is not None and index._main.nprobe < index._main.nlist / 2
    return index, oracle, rows


def test_the_approximate_index_finds_at_least_95_percent_of_the_nearest_ten(large):
    index, oracle, rows = large
    between = unit(rows[2000:2100] + 0.5 * rows[5000:5100])
    assert recall(index, oracle, rows[1000:1200]) >= 0.95
    assert recall(index, oracle, between) >= 0.95


@pytest.mark.parametrize("share", [0.9, 0.5, 0.2, 0.05, 0.001])
def test_the_approximate_index_finds_them_among_few_allowed_too(large, share):
    index, oracle, rows = large
    allowed = np.random.default_rng(2).random(20_000) < share
    assert recall(index, oracle, rows[1000:1100], allowed=allowed) >= 0.95


def test_the_approximate_index_finds_them_where_everything_near_the_query_is_forbidden(large):
    index, oracle, rows = large
    allowed = rows @ rows[3000] < 0
    assert recall(index, oracle, rows[3000:3001], allowed=allowed) >= 0.9
    near = unit(rows[3000] + 0.05 * rows[4000:4030])
    assert recall(index, oracle, near, allowed=allowed) >= 0.9


def test_fresh_rows_are_found_exactly_before_the_main_index_has_them(large):
    index, _, _ = large
    fresh = clustered(500, seed=1)
    assert index.search(fresh, 1)[1][:, 0].tolist() == list(range(500))


# ---- rebuilding ----


def test_a_rebuild_loses_nothing_that_came_during_it(monkeypatch):
    rows = random_rows(100)
    oracle, index = ExactIndex(D), FaissIndex(D, exact_below=0)
    build = main_over

    def change(one):
        one.remove(np.array([1, 2]))
        one.add(np.array([2, 3, 100]), rows[[2, 50, 60]])  # back with its old vector, replaced, new
        one.add(np.array([101]), rows[61:62])
        one.remove(np.array([101]))

    def build_meanwhile(view):
        change(index)
        return build(view)

    for one in (oracle, index):
        one.add(np.arange(100), rows)
    change(oracle)
    monkeypatch.setattr(faiss_index, "main_over", build_meanwhile)
    index.rebuild_now()
    assert len(index) == len(oracle) == 100
    for found, expected in zip(index.search(rows, 100), oracle.search(rows, 100), strict=True):
        assert np.array_equal(found, expected)


def repeated(work, done, failures):
    """A thread that does the work again and again until it is told that all is done."""

    def run():
        try:
            while not done.is_set():
                work()
        except Exception as error:
            failures.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def churn(index, rows):
    """Adds 2,000 rows beyond the first 2,000, removes many, replaces some; ids 0 to 9 stay as they are."""
    for at in range(2000, 4000, 5):
        index.add(np.arange(at, at + 5), rows[at : at + 5])
        index.remove(np.array([at, at - 1000]))
        index.add(np.array([at - 1990]), rows[at : at + 1])


def test_threads_may_add_remove_search_and_rebuild_at_once():
    rows = clustered(4000, 16)
    oracle, index = ExactIndex(16), FaissIndex(16, exact_below=0)
    for one in (oracle, index):
        one.add(np.arange(2000), rows[:2000])

    def search():
        scores, ids = index.search(rows[:3], 10)
        assert ids[:, 0].tolist() == [0, 1, 2] and (scores[:, 0] > 0.999).all()

    done, failures = threading.Event(), []
    threads = [repeated(work, done, failures) for work in (index.rebuild_now, search, search)]
    churn(index, rows)
    done.set()
    for thread in threads:
        thread.join()
    churn(oracle, rows)
    assert not failures
    assert len(index) == len(oracle)
    assert (index.search(rows[:1], 5000)[1] == oracle.search(rows[:1], 5000)[1]).all()


def test_the_main_index_is_built_in_the_background_when_the_buffer_has_grown():
    index = FaissIndex(D, exact_below=5000)
    rows = random_rows(6000)
    index.add(np.arange(4999), rows[:4999])
    assert index._worker is None
    index.add(np.arange(6000), rows)
    worker = index._worker
    assert worker is not None
    worker.join()
    assert index._main is not None and index._worker is None
    assert recall(index, _oracle(rows), rows[:50]) >= 0.95


def test_the_buffer_is_taken_into_the_main_index_also_of_a_loaded_one(tmp_path):
    rows = clustered(9000)
    index = FaissIndex(64, exact_below=0)
    index.add(np.arange(6000), rows[:6000])
    index.wait()
    index.save(tmp_path / "index")
    again = FaissIndex.load(tmp_path / "index", exact_below=0)
    for one in (index, again):
        one.add(np.arange(6000, 9000), rows[6000:])
        one.remove(np.arange(100))
        lists = one._main.nlist
        one.rebuild_now()
        assert one._main.ntotal == one._rows.count == 9000 and one._main.nlist == lists
        one.add(np.arange(100), rows[:100])
        assert recall(one, _oracle(rows), rows[::9]) >= 0.95
    assert (index.search(rows[::7], 10)[1] == again.search(rows[::7], 10)[1]).all()


def test_dead_rows_are_dropped_in_the_background():
    index = FaissIndex(D)
    for seed in range(4):
        index.add(np.arange(1000), random_rows(1000, seed=seed))
        if index._worker:
            index._worker.join()
    assert len(index) == 1000 and index._rows.count < 2500


def test_adding_what_is_held_already_leaves_no_dead_rows():
    index, rows = filled(FaissIndex)
    index.add(np.arange(200), rows)
    assert index._rows.count == 200


def test_a_rebuild_that_fails_is_logged_and_the_index_goes_on(monkeypatch, caplog):
    def fail(view):
        raise MemoryError("no room")

    monkeypatch.setattr(faiss_index, "main_over", fail)
    index, rows = FaissIndex(D, exact_below=0), random_rows(5000)
    index.add(np.arange(5000), rows)
    if index._worker:
        index._worker.join()
    assert "could not be rebuilt" in caplog.text
    assert index.search(rows[:9], 1)[1][:, 0].tolist() == list(range(9))
    index.add(np.array([1]), rows[:1])
    assert index._worker is None  # not again with every change


def test_one_query_starts_no_thread():
    program = """
import os, threading
import numpy as np
from embeddings.faiss_index import FaissIndex
rows = np.random.default_rng(0).standard_normal((6000, 32)).astype(np.float32)
exact, approximate = FaissIndex(32, exact_below=10_000), FaissIndex(32, exact_below=0)
for index in (exact, approximate):
    index.add(np.arange(6000), rows)
approximate.rebuild_now()
if approximate._worker:
    approximate._worker.join()
def work():
    before = set(os.listdir("/proc/self/task"))
    for index in (exact, approximate):
        for allowed in (None, np.arange(6000) % 3 > 0, np.arange(6000) % 9 == 0):
            index.search(rows[:1], 20, allowed)
    print(len(set(os.listdir("/proc/self/task")) - before))
thread = threading.Thread(target=work)  # OpenMP would start a team for it
thread.start()
thread.join()
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "0"


def test_faiss_keeps_its_number_of_threads_for_everyone_else():
    before = faiss.omp_get_max_threads()
    index = FaissIndex(D, exact_below=0)
    index.add(np.arange(5000), random_rows(5000))
    if index._worker:
        index._worker.join()
    assert faiss.omp_get_max_threads() == before


# ---- snapshots ----


@every_kind
@pytest.mark.parametrize("reader", KINDS)
def test_what_one_index_saved_every_index_reads(make, reader, tmp_path):
    index, rows = filled(make)
    index.remove(np.array([5, 6]))
    index.add(np.array([300]), rows[5:6])
    index.save(tmp_path / "index")
    again = reader.load(tmp_path / "index")
    assert len(again) == 199 and again.dimension == D
    for found, expected in zip(again.search(rows, 20), index.search(rows, 20), strict=True):
        assert (found == expected).all()
    again.add(np.array([5]), rows[5:6])
    again.remove(np.array([300]))
    assert again.search(rows[5:6], 1)[1][0, 0] == 5 and len(again) == 199


@every_kind
def test_an_empty_index_is_saved_and_read(make, tmp_path):
    make(D).save(tmp_path / "index")
    again = type(make(D)).load(tmp_path / "index")
    assert len(again) == 0 and again.dimension == D
    again.add(np.array([2]), random_rows(1))
    assert again.search(random_rows(1), 1)[1][0, 0] == 2


@every_kind
def test_saving_again_takes_the_place_of_the_old_snapshot(make, tmp_path):
    folder = tmp_path / "deep" / "index"
    index, _ = filled(make)
    index.save(folder)
    index.remove(np.arange(150))
    index.save(folder)
    assert len(type(index).load(folder)) == 50
    assert [one.name for one in folder.parent.iterdir()] == ["index"]


def test_a_save_that_fails_leaves_the_old_snapshot(tmp_path):
    index, rows = filled(FaissIndex)
    index.save(tmp_path / "index")
    with pytest.raises(OSError, match="disk full"), new_snapshot(tmp_path / "index", np.arange(1), [rows[:1]], 1.0):
        raise OSError("disk full")
    assert len(FaissIndex.load(tmp_path / "index")) == 200
    assert [one.name for one in tmp_path.iterdir()] == ["index"]


def damaged(name: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(change((folder / name).read_bytes()))

    return damage


def flipped(raw: bytes) -> bytes:
    middle = len(raw) // 2
    return raw[:middle] + bytes([raw[middle] ^ 0x10]) + raw[middle + 1 :]


DAMAGES = {
    "no manifest": (lambda folder: (folder / "manifest.json").unlink(), "no manifest.json"),
    "manifest not JSON": (damaged("manifest.json", lambda raw: raw[:-9]), "manifest.json"),
    "manifest empty": (damaged("manifest.json", lambda raw: b""), "manifest.json"),
    "manifest of a list": (damaged("manifest.json", lambda raw: b"[1]"), "manifest.json"),
    "another format": (
        damaged("manifest.json", lambda raw: raw.replace(b'"format": 2', b'"format": 3')),
        "format 3; this version reads 2",
    ),
    "another count": (
        damaged("manifest.json", lambda raw: raw.replace(b'"count": 200', b'"count": 199')),
        "counts",
    ),
    "another dimension": (
        damaged("manifest.json", lambda raw: raw.replace(b'"dimension": 8', b'"dimension": 9')),
        "counts",
    ),
    "a path outside": (damaged("manifest.json", lambda raw: raw.replace(b"ids.npy", b"../../x")), "other files"),
    **{
        f"{name} {what}": (damaged(name, change), f"{name} is not what was saved")
        for name in ("ids.npy", "vectors.npy", "main.faiss")
        for what, change in (("truncated", lambda raw: raw[:-7]), ("flipped", flipped), ("empty", lambda raw: b""))
    },
    "vectors missing": (lambda folder: (folder / "vectors.npy").unlink(), "vectors.npy is missing"),
    "main missing": (lambda folder: (folder / "main.faiss").unlink(), "main.faiss is missing"),
}


def test_what_came_since_a_rebuild_is_fresh_and_what_went_is_dead_until_the_next():
    index = FaissIndex(D, 100)
    index.add(np.arange(200), random_rows(200))
    assert index.state() == IndexState(200)
    index.rebuild_now()
    index.add(np.arange(200, 230), random_rows(30, seed=1))
    index.remove(np.arange(10))
    told = index.state()
    assert (told.vectors, told.fresh, told.dead, told.rebuilds) == (220, 30, 10, 1) and told.rebuild_s > 0
    index.rebuild_now()
    told = index.state()
    assert (told.vectors, told.fresh, told.dead, told.rebuilds) == (220, 0, 10, 2)  # so few dead rows may stay


def test_the_recall_that_is_told_is_less_where_searches_miss():
    index = FaissIndex(64, 1000)
    index.add(np.arange(20_000), random_rows(20_000, 64))
    index.wait()
    index.rebuild_now()
    assert index.recall(64, 20, 1) >= 0.9
    index._main.nprobe = 1
    assert index.recall(64, 20, 1) < 0.5


@pytest.mark.parametrize("damage, reason", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_snapshot_is_refused_with_the_reason(damage, reason, tmp_path):
    index, _ = filled(Approximate)
    index.rebuild_now()
    index.save(tmp_path / "index")
    damage(tmp_path / "index")
    for kind in KINDS:
        with pytest.raises(SnapshotCorrupt, match=reason):
            kind.load(tmp_path / "index")


def test_a_main_index_of_other_rows_is_refused(tmp_path):
    small, _ = filled(FaissIndex, 50)
    main = faiss.IndexFlatIP(D)
    view = small._rows.view()
    with new_snapshot(tmp_path / "index", view.ids, view.parts, 1.0) as draft:
        faiss.write_index(main, str(draft / "main.faiss"))
    with pytest.raises(SnapshotCorrupt, match="does not belong"):
        FaissIndex.load(tmp_path / "index")
    with new_snapshot(tmp_path / "index", view.ids, view.parts, 1.0) as draft:
        (draft / "main.faiss").write_bytes(b"no index at all, though its digest is right")
    with pytest.raises(SnapshotCorrupt, match="main.faiss"):
        FaissIndex.load(tmp_path / "index")


def test_a_folder_that_is_not_there_is_no_snapshot(tmp_path):
    with pytest.raises(SnapshotCorrupt, match="no manifest"):
        FaissIndex.load(tmp_path / "nothing")


def _oracle(rows):
    oracle = ExactIndex(rows.shape[1])
    oracle.add(np.arange(len(rows)), rows)
    return oracle


def test_a_rough_search_finds_what_is_near_and_what_came_last_and_is_the_same_where_all_is_exact():
    index, vectors = FaissIndex(64, 1000), blobs(20_000, 64)
    index.add(np.arange(20_000), vectors)
    index.wait()
    index.rebuild_now()
    index.add(np.array([30_000]), vectors[5:6])
    queries = vectors[[5, 700]]
    scores, found = index.search(queries, 50, rough=True)
    assert 30_000 in found[0] and (np.diff(scores, axis=1) <= 0).all()
    true = [np.sort(vectors @ query)[-50:] for query in queries]
    for query, own, best in zip(queries, found, true, strict=True):
        assert len(set(own.tolist())) == 50
        similarities = vectors[np.where(own == 30_000, 5, own)] @ query
        assert similarities.mean() > best.mean() - 0.1
    exact = FaissIndex(64, 50_000)
    exact.add(np.arange(20_000), vectors)
    assert exact.search(queries, 50, rough=True)[1].tolist() == exact.search(queries, 50)[1].tolist()


@pytest.mark.parametrize("exact_below", [1000, 50_000], ids=["lists", "exact"])
def test_a_rough_search_for_more_than_there_is_gives_all_that_is_alive_and_for_none_nothing(exact_below: int):
    index, vectors = FaissIndex(64, exact_below), blobs(6_000, 64)
    assert (index.search(vectors[:2], 3, rough=True)[1] == -1).all()
    index.add(np.arange(6_000), vectors)
    index.wait()
    index.remove(np.arange(5_990))
    index.wait()
    index.add(np.array([7_000]), vectors[:1])
    scores, found = index.search(vectors[:2], 20, rough=True)
    for own in found:
        assert sorted(own[own >= 0].tolist()) == [*range(5_990, 6_000), 7_000]
    assert np.isneginf(scores[found < 0]).all()
    assert index.search(vectors[:2], 0, rough=True)[1].shape == (2, 0)
    assert index.search(vectors[:0], 5, rough=True)[1].shape == (0, 5)


def test_a_snapshot_without_a_main_index_gets_one_once_it_is_loaded(tmp_path):
    index, vectors = FaissIndex(64, 50_000), blobs(6_000, 64)
    index.add(np.arange(6_000), vectors)
    index.save(tmp_path / "index")
    loaded = FaissIndex.load(tmp_path / "index", 1000)
    loaded.wait()
    assert loaded.state().rebuilds == 1 and loaded.state().fresh == 0
    assert FaissIndex.load(tmp_path / "index", 50_000).state().rebuilds == 0


def blobs(count: int, width: int) -> np.ndarray:
    chance = np.random.default_rng(3)
    centres = chance.standard_normal((200, width))
    vectors = centres[chance.integers(0, 200, count)] + 0.5 * chance.standard_normal((count, width))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

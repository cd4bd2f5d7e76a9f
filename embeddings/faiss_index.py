"""The index that serves: FAISS, exact while that is fast enough, approximate with an exact buffer above.

Rows lie in the order in which they came. The first of them may be covered by a main index; those after it
are the buffer, which is searched exactly, so an item can be found as soon as it was added. A thread in the
background takes the buffer into the main index when it has grown, and builds that anew when the rows have more
than doubled or many of them are dead.

The main index is an inverted file (IVF) with four bits for each two numbers (a product quantiser that is scanned in
registers); the best that it finds are compared once more as float32.
docs/retrieval.md says what other kinds cost. Against a graph (HNSW) it also counts that the same rows give the same
index, and that what a selector leaves out is skipped while scanning, where a graph may lose its way.

The one file that imports faiss.
"""

import logging
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Self

import faiss
import numpy as np
from numpy.typing import NDArray

from domain.errors import SnapshotCorrupt
from embeddings.ann_index import IndexState, checked_queries, checked_rows, is_allowed, of_width
from embeddings.rows import PIECE, Rows, View, Wanted
from embeddings.snapshot import MAIN, new_snapshot, read_snapshot

# FAISS's type stubs know the C++ signatures only; what they do not know is ignored line by line below.
Main = faiss.IndexIVFPQFastScan

log = logging.getLogger(__name__)

FRESH_MIN, FRESH_SHARE = 4096, 0.01
"""Rows in the buffer, and their share of the main index, above which they are taken into it. 4,096 rows of 384
take 0.2 ms to scan."""

LISTS_GROWTH = 1.5
"""Once so many times more lists would be right, the lists are learned anew: when the rows have more than doubled."""

DEAD_MIN, DEAD_SHARE = 1024, 0.25
"""The same for dead rows, as a share of all rows: they cost memory and scanning."""

EXACT_COST = 10
"""The fewer rows may be found, the more lists are looked into. Comparing a wanted row itself costs as much as passing
so many rows of the lists by, and misses none."""

AGAIN, SLACK = 6, 16
"""So many times k rows, and these, that the main index holds for the nearest are compared again as float32."""

PAIRED_FROM = 128
"""Vectors of fewer dimensions have four bits for each number: there is less to make up for what is lost."""

LEAST_ROWS = 64
"""Fewer rows teach the main index nothing."""

ROUNDING = 1e-5
"""How far a float32 similarity of unit vectors may be off; far more than was ever seen (1e-6)."""

POINTS_PER_LIST, ROUNDS = 32, 4
"""Rows that the lists' centres are learned from, and how often; twice of both took four times as long and gained no
recall."""

LEAST_PROBES, PROBES_STEP, TARGET_RECALL, TRIAL_QUERIES, TRIAL_K = 8, 1.2, 0.985, 64, 100
"""How many lists a search looks into is tried out on each new main index: that many times more each time, from the
first number on, until so large a share of the nearest 100 is found. Which number that takes depends on the
data."""


class FaissIndex:
    """An `AnnIndex` on FAISS. A search reads the rows of one moment and blocks nobody."""

    def __init__(self, dimension: int, exact_below: int = 20_000) -> None:
        """Makes an empty index.

        Args:
            dimension: D, the width of the vectors.
            exact_below: number of ids below which every search is exact.
        """
        self._dimension = dimension
        self._exact_below = exact_below
        self._rows = Rows(dimension)
        self._main: Main | None = None
        self._lock = threading.Lock()  # guards the four fields around this one; held for copies, never for a search
        self._worker: threading.Thread | None = None
        self._retry_above = 0
        self._rebuilding = threading.Lock()  # one rebuild at a time
        self._rebuilds, self._rebuild_s = 0, 0.0

    @property
    def dimension(self) -> int:
        """D, the width of the vectors."""
        return self._dimension

    def __len__(self) -> int:
        """N, how many ids are held."""
        return self._rows.alive_count

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """See `AnnIndex.add`. Found from the next search on."""
        ids, vectors = checked_rows(ids, vectors, self._dimension)
        with self._lock:
            self._rows.add(ids, vectors)
            self._rebuild_if_due()

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See `AnnIndex.remove`."""
        with self._lock:
            self._rows.remove(np.asarray(ids, np.int64))
            self._rebuild_if_due()

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None, rough: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `AnnIndex.search`. It runs in the calling thread alone.

        Cost with 384 dimensions: 1.2 ms a query for 20,000 rows while exact, 0.5 ms for 40,000 above.
        """
        queries = checked_queries(queries, k, allowed, self._dimension)
        # FAISS would share a few queries out among all cores, and then wait for whichever is busy elsewhere:
        # at four queries the slowest twentieth took 8 ms instead of 1. It keeps the setting for each thread.
        faiss.omp_set_num_threads(1)
        with self._lock:
            view, main = self._rows.view(), self._main
        wanted = view.every if allowed is None else Wanted(view.alive & is_allowed(view.ids, allowed))
        covered = main.ntotal if main else 0
        candidates = _exact(view, wanted, covered, len(view.ids), queries, k)
        if main and rough and allowed is None:
            return _rough(main, view, queries, k, candidates)
        if main:
            nearest = _approximate(main, view, wanted, queries, k)
            candidates = [np.concatenate(both) for both in zip(candidates, nearest, strict=True)]
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        for at, rows in enumerate(candidates):
            similarities, best = _ranked(view, rows, queries[at], k)
            scores[at, : len(best)], found[at, : len(best)] = similarities, view.ids[best]
        return scores, found

    def rebuild_now(self) -> None:
        """Takes the buffer into the main index, or builds that anew, if there are enough rows for one.

        Where there are many dead rows they are dropped before.
        """
        with self._rebuilding:
            started = perf_counter()
            self._rebuild()
            with self._lock:
                self._rebuilds, self._rebuild_s = self._rebuilds + 1, perf_counter() - started

    def _rebuild(self) -> None:
        if self._main is None or self._is_stale():
            self._compact()
            return
        with self._lock:
            view, main = self._rows.view(), self._main
        due = LISTS_GROWTH * main.nlist < _lists(len(view.ids))
        main = _main_over(view) if due else _extended(main, view)
        with self._lock:
            self._main = main

    def _compact(self) -> None:
        with self._lock:
            before = self._rows.view()
        rows = Rows.compacted(before)
        main = _main_over(rows.view()) if rows.count >= max(self._exact_below, LEAST_ROWS) else None
        with self._lock:
            now = self._rows.view()
            # What happened meanwhile: a row that died (its id may have come back, further on), and new rows.
            rows.remove(before.ids[before.alive & ~now.alive[: len(before.ids)]])
            new = np.flatnonzero(now.alive[len(before.ids) :]) + len(before.ids)
            rows.add(now.ids[new], now.take(new))
            self._rows, self._main = rows, main

    def wait(self) -> None:
        """Waits until nothing is being rebuilt in the background."""
        while (worker := self._worker) is not None:
            worker.join()

    def state(self) -> IndexState:
        """See `AnnIndex.state`."""
        with self._lock:
            rows, main = self._rows, self._main
            fresh = rows.count - main.ntotal if main else 0
            dead = rows.count - rows.alive_count
            return IndexState(rows.alive_count, fresh, dead, self._rebuilds, self._rebuild_s)

    def recall(self, queries: int, k: int, seed: int) -> float | None:
        """See `AnnIndex.recall`."""
        with self._lock:
            view = self._rows.view()
        alive = np.flatnonzero(view.alive)
        if not len(alive):
            return None
        tried = _trials(view, alive, queries, seed)
        faiss.omp_set_num_threads(1)
        k = min(k, len(alive))
        candidates = _exact(view, view.every, 0, len(view.ids), tried, k)
        least = [_ranked(view, one, query, k)[0][-1] for one, query in zip(candidates, tried, strict=True)]
        found, _ = self.search(tried, k)
        # By similarity, not by id: of those that are equal any will do, and what came meanwhile is no miss.
        slack = ROUNDING * view.longest * np.linalg.norm(tried, axis=1)
        return float((found >= (np.array(least) - slack)[:, None]).mean())

    def save(self, folder: Path) -> None:
        """See `AnnIndex.save`. The main index is saved too, so that loading builds nothing."""
        self.frozen()(folder)

    def frozen(self) -> Callable[[Path], None]:
        """See `AnnIndex.frozen`."""
        with self._lock:
            view, main = self._rows.view(), self._main

        def write(folder: Path) -> None:
            with new_snapshot(folder, np.where(view.alive, view.ids, -1), view.parts, view.longest) as draft:
                if main:
                    faiss.write_index(main, str(draft / MAIN))

        return write

    def vectors_of(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `AnnIndex.vectors_of`."""
        with self._lock:
            return self._rows.vectors_of(ids)

    def like(self, folder: Path | None = None) -> Self:
        """See `AnnIndex.like`."""
        if folder is None:
            return type(self)(self._dimension, self._exact_below)
        return of_width(self._dimension, self.load(folder, self._exact_below))

    @classmethod
    def load(cls, folder: Path, exact_below: int = 20_000) -> Self:
        """See `AnnIndex.load`."""
        manifest, ids, vectors = read_snapshot(folder)
        index = cls(manifest.dimension, exact_below)
        index._rows = Rows.at(ids, vectors, manifest.longest)
        if MAIN in manifest.sha256:
            try:
                main = faiss.read_index(str(folder / MAIN), faiss.IO_FLAG_MMAP_IFC)  # mapped, not copied
            except RuntimeError as error:
                raise SnapshotCorrupt(f"{folder}: {MAIN}: {error}") from error
            if not isinstance(main, Main) or main.d != manifest.dimension or main.ntotal > len(ids):
                raise SnapshotCorrupt(f"{folder}: {MAIN} does not belong to these rows")
            index._main = main
        return index

    def _is_due(self) -> bool:
        rows, covered = self._rows, self._main.ntotal if self._main else 0
        large = rows.count - covered > max(FRESH_MIN, FRESH_SHARE * covered)
        return rows.count > self._retry_above and (
            self._is_stale() or (large and rows.alive_count >= self._exact_below)
        )

    def _is_stale(self) -> bool:
        return self._rows.count - self._rows.alive_count > max(DEAD_MIN, DEAD_SHARE * self._rows.count)

    def _rebuild_if_due(self) -> None:
        if self._worker is None and self._is_due():
            self._worker = threading.Thread(target=self._rebuild_in_background, name="ann-rebuild")
            self._worker.start()

    def _rebuild_in_background(self) -> None:
        # OpenMP keeps this number for each calling thread, so searches are not slowed by it; they are
        # helped, because a rebuild leaves them half of the cores.
        faiss.omp_set_num_threads(max(1, (os.cpu_count() or 1) // 2))
        due = True
        while due:
            try:
                self.rebuild_now()
                with self._lock:
                    due = self._is_due()
                    self._worker = self._worker if due else None
            except Exception:
                log.exception("the index could not be rebuilt; searches go on, slower the longer the buffer grows")
                with self._lock:
                    due, self._worker, self._retry_above = False, None, self._rows.count + FRESH_MIN


def _main_over(view: View) -> Main:
    """Builds the approximate index over all rows of a view. Its ids are the rows' numbers."""
    count, dimension = len(view.ids), view.parts[0].shape[1]
    main = _empty_main(faiss.IndexFlatIP(dimension), dimension, _lists(count))
    main.cp.spherical = True
    main.cp.niter, main.cp.min_points_per_centroid = ROUNDS, 1
    main.pq.cp.min_points_per_centroid = 1  # it only warns
    sample = np.random.default_rng(0).choice(count, min(count, POINTS_PER_LIST * main.nlist), replace=False)
    main.train(view.take(np.sort(sample)))
    _add(main, view)
    main.nprobe = _probes_needed(main, view)
    return main


def _extended(main: Main, view: View) -> Main:
    """Returns the index with the rows after those that it covers; nothing is learned anew."""
    larger: Main = faiss.clone_index(main)  # type: ignore[assignment] # of the same kind
    _add(larger, view)
    return larger


def _empty_main(quantizer: faiss.Index, dimension: int, lists: int) -> Main:
    parts = dimension // 2 if dimension % 2 == 0 and dimension >= PAIRED_FROM else dimension
    return faiss.IndexIVFPQFastScan(quantizer, dimension, lists, parts, 4, faiss.METRIC_INNER_PRODUCT)


def _lists(count: int) -> int:
    """As many lists as there are rows in two of them, at least as many rows a list as its centre is learned from."""
    return max(1, min(int(2 * math.sqrt(count)), count // POINTS_PER_LIST))


def _add(main: Main, view: View) -> None:
    for start in range(main.ntotal, len(view.ids), PIECE):
        for _, piece in view.pieces(start, min(len(view.ids), start + PIECE)):
            main.add(piece)


def _trials(view: View, rows: NDArray[np.int64], count: int, seed: int) -> NDArray[np.float32]:
    """Returns queries like those of users, (count, D): every other a vector of these rows, the rest blends of two."""
    pairs = rows[np.random.default_rng(seed).integers(0, len(rows), (count, 2))]
    blend = np.where(np.arange(count) % 2, 0.5, 0.0).astype(np.float32)[:, None]
    queries: NDArray[np.float32] = view.take(pairs[:, 0]) + blend * view.take(pairs[:, 1])
    return queries


def _probes_needed(main: Main, view: View) -> int:
    """Tries out how many lists to look into, with queries like those of users: items and blends of two."""
    queries = _trials(view, np.arange(len(view.ids)), TRIAL_QUERIES, 0)
    every = Wanted(np.ones(len(view.ids), np.bool_))
    k = min(TRIAL_K, len(view.ids))
    candidates = _exact(view, every, 0, len(view.ids), queries, k)
    nearest = [_ranked(view, one, query, k)[1] for one, query in zip(candidates, queries, strict=True)]
    probes, before = LEAST_PROBES, 0
    while probes < main.nlist:
        found = _look_into(main, queries, AGAIN * k + SLACK, probes, every)
        hits = sum(int(np.isin(one, other).sum()) for one, other in zip(nearest, found, strict=True))
        if hits >= TARGET_RECALL * k * len(queries) or 0 < hits <= before:  # or no list would help any more
            break
        probes, before = math.ceil(probes * PROBES_STEP), hits
    return min(probes, int(main.nlist))


def _approximate(
    main: Main, view: View, wanted: Wanted, queries: NDArray[np.float32], k: int
) -> list[NDArray[np.int64]]:
    """Returns for each query rows of the main index that are probably its k nearest, and a few more."""
    covered = main.ntotal
    count = wanted.count - int(np.count_nonzero(wanted.mask[covered:]))
    probes = min(math.ceil(main.nprobe * covered / max(count, 1)), int(main.nlist))
    if EXACT_COST * count < covered * probes / main.nlist or count <= AGAIN * k + SLACK:
        return _exact(view, wanted, 0, covered, queries, k)
    found = _look_into(main, queries, AGAIN * k + SLACK, probes, wanted)
    candidates = []
    for at, (rows, query) in enumerate(zip(found, queries, strict=True)):
        if rows[k + SLACK - 1] < 0:  # the lists looked into hold too few of what is wanted
            candidates += _exact(view, wanted, 0, covered, queries[at : at + 1], k)
        else:
            candidates.append(_closest(view, rows[rows >= 0], query, k + SLACK))
    return candidates


def _rough(
    main: Main, view: View, queries: NDArray[np.float32], k: int, fresh: list[NDArray[np.int64]]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns what the codes of the main index say, and rows of the buffer, as `AnnIndex.search` does."""
    probes = max(LEAST_PROBES, main.nprobe // len(queries))
    scores, rows = _found_by_codes(main, queries, k, probes, view.every)
    ids = np.where(rows >= 0, view.ids[rows], -1)
    scores[rows < 0] = -np.inf
    for at, some in enumerate(fresh):
        if len(some):
            both = np.concatenate([scores[at], view.take(some) @ queries[at]])
            best = np.argsort(-both, kind="stable")[:k]
            scores[at], ids[at] = both[best], np.concatenate([ids[at], view.ids[some]])[best]
    return scores, ids


def _closest(view: View, rows: NDArray[np.int64], query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Returns at most `count` of some rows, the nearest but for rounding."""
    if len(rows) <= count:
        return rows
    similarities = view.take(rows) @ query
    nearest: NDArray[np.int64] = rows[np.argpartition(-similarities, count)[:count]]
    return nearest


def _ranked(
    view: View, rows: NDArray[np.int64], query: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the k nearest of some rows, with their similarities, equal ones ascending by id."""
    similarities = _similarities(view.take(rows), query)
    best = np.lexsort((view.ids[rows], -similarities))[:k]
    return similarities[best], rows[best]


def _exact(  # noqa: PLR0917 - what to search, where, and for what
    view: View, wanted: Wanted, start: int, end: int, queries: NDArray[np.float32], k: int
) -> list[NDArray[np.int64]]:
    """Returns for each query the rows from start to end that hold its k nearest and all that tie with the last."""
    candidates = [np.empty(0, np.int64) for _ in queries]
    for first, vectors in view.pieces(start, end):
        nearest = _nearest(vectors, wanted.mask[first : first + len(vectors)], queries, k, view.longest)
        candidates = [np.concatenate([one, rows + first]) for one, rows in zip(candidates, nearest, strict=True)]
    return candidates


def _nearest(  # noqa: PLR0917 - see `_exact`
    vectors: NDArray[np.float32], wanted: NDArray[np.bool_], queries: NDArray[np.float32], k: int, longest: float
) -> list[NDArray[np.int64]]:
    """Returns as `_exact`, of one piece of the rows; numbered from its first."""
    scores, found = _scan(vectors, wanted, queries, k + SLACK)
    candidates = list(found)
    if k == 0 or found.shape[1] < k + SLACK:  # nothing asked, or these are all
        return candidates
    floors = scores[:, k - 1] - ROUNDING * longest * np.linalg.norm(queries, axis=1)
    for at in np.flatnonzero(scores[:, -1] >= floors):  # the tie may go on beyond the slack
        every_score, every_row = _scan(vectors, wanted, queries[at : at + 1], len(vectors))
        candidates[at] = every_row[every_score >= floors[at]]
    return candidates


def _scan(
    vectors: NDArray[np.float32], wanted: NDArray[np.bool_], queries: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Compares the queries with every wanted row; similarities and rows, (B, min(k, wanted rows)) each.

    There is always a selector, even if every row is wanted: without one FAISS 1.15 multiplies on all cores
    for a single query too, and takes 8 ms instead of 3 for 50,000 rows.
    """
    count = int(np.count_nonzero(wanted))
    k = min(k, count)
    scores, found = np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
    if found.size:
        if 2 * count < len(wanted):  # a list of the rows is then quicker than a bit for each
            selector: faiss.IDSelector = faiss.IDSelectorArray(np.flatnonzero(wanted))
        else:
            selector = _selector(np.packbits(wanted, bitorder="little"))
        arrays = [faiss.swig_ptr(array) for array in (queries, vectors, scores, found)]
        faiss.knn_inner_product(  # type: ignore[call-arg]
            *arrays[:2], vectors.shape[1], len(queries), len(vectors), k, *arrays[2:], selector
        )
    return scores, found


def _look_into(main: Main, queries: NDArray[np.float32], k: int, probes: int, wanted: Wanted) -> NDArray[np.int64]:
    """Returns the k best wanted rows in the lists nearest to each query, (B, k); -1 where there are fewer."""
    return _found_by_codes(main, queries, k, probes, wanted)[1]


def _found_by_codes(
    main: Main, queries: NDArray[np.float32], k: int, probes: int, wanted: Wanted
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    parameters = faiss.SearchParametersIVF(nprobe=probes, sel=_selector(wanted.bits))  # type: ignore[call-arg]
    found: tuple[NDArray[np.float32], NDArray[np.int64]] = main.search(queries, k, params=parameters)
    return found


def _selector(bits: NDArray[np.uint8]) -> faiss.IDSelector:
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]


def _similarities(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner products in float64 and without BLAS: equal vectors get equal similarities, on one thread."""
    products = np.einsum("nd,d->n", vectors.astype(np.float64), query.astype(np.float64))
    similarities: NDArray[np.float32] = products.astype(np.float32)
    return similarities

"""The index that serves: FAISS, exact while that is fast enough, approximate with an exact buffer above.

Rows lie in the order in which they came. The first of them may be covered by a main index; those after it
are the buffer, which is searched exactly, so an item can be found as soon as it was added. A thread in the
background builds the main index again when the buffer or the share of dead rows has grown too large.

The main index is an inverted file (IVF) in half precision. Against a graph (HNSW), as measured with
60,000 rows of 384 on two cores: built in 1.1 s instead of 13; the same rows give the same index, which a
graph built by several threads does not; and what a selector leaves out is skipped while scanning, where a
graph may lose its way. At equal recall both took 0.2 to 0.4 ms a query.

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
from embeddings.rows import Rows, View
from embeddings.snapshot import MAIN, new_snapshot, read_snapshot

# FAISS's type stubs know the C++ signatures only; what they do not know is ignored line by line below.
Main = faiss.IndexIVFScalarQuantizer

log = logging.getLogger(__name__)

FRESH_MIN, FRESH_SHARE = 4096, 0.05
"""Rows in the buffer, and their share of the main index, above which it is built again. 4,096 rows of 384
take 0.2 ms to scan."""

DEAD_MIN, DEAD_SHARE = 1024, 0.25
"""The same for dead rows, as a share of all rows: they cost memory and scanning."""

MOST_LISTS = 0.5
"""The fewer rows may be found, the more lists are looked into. Beyond this share of the lists, comparing the
wanted rows one by one costs no more and misses none."""

SLACK = 16
"""Candidates beyond k: room for equal similarities at the end and for the rounding of half precision."""

ROUNDING = 1e-5
"""How far a float32 similarity of unit vectors may be off; far more than was ever seen (1e-6)."""

LEAST_PROBES, TARGET_RECALL, TRIAL_QUERIES, TRIAL_K = 8, 0.95, 64, 100
"""How many lists a search looks into is tried out on each new main index: twice as many each time, from the
first number on, until so large a share of the nearest 100 is found. Which number that takes depends on the
data: 64 of 345 lists for 30,000 titles, 128 of 894 for a diffuse cloud of 200,000."""


class FaissIndex:
    """An `AnnIndex` on FAISS. A search reads the rows of one moment and blocks nobody."""

    def __init__(self, dimension: int, exact_below: int = 50_000) -> None:
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
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `AnnIndex.search`. It runs in the calling thread alone.

        Cost with 384 dimensions: 3 ms a query for 50,000 rows while exact.
        """
        queries = checked_queries(queries, k, allowed, self._dimension)
        # FAISS would share a few queries out among all cores, and then wait for whichever is busy elsewhere:
        # at four queries the slowest twentieth took 8 ms instead of 1. It keeps the setting for each thread.
        faiss.omp_set_num_threads(1)
        with self._lock:
            view, main = self._rows.view(), self._main
        wanted = view.alive if allowed is None else view.alive & is_allowed(view.ids, allowed)
        covered = main.ntotal if main else 0
        candidates = _exact(view, wanted, slice(covered, None), queries, k)
        if main:
            nearest = _approximate(main, view, wanted, queries, k)
            candidates = [np.concatenate(both) for both in zip(candidates, nearest, strict=True)]
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        for at, rows in enumerate(candidates):
            similarities = _similarities(view.vectors[rows], queries[at])
            best = np.lexsort((view.ids[rows], -similarities))[:k]
            scores[at, : len(best)], found[at, : len(best)] = similarities[best], view.ids[rows[best]]
        return scores, found

    def rebuild_now(self) -> None:
        """Drops the dead rows and builds the main index, if there are enough rows for one."""
        with self._rebuilding:
            started = perf_counter()
            with self._lock:
                before = self._rows.view()
            rows = Rows.compacted(before)
            main = _main_over(rows.view()) if rows.count >= max(self._exact_below, 1) else None
            with self._lock:
                now = self._rows.view()
                # What happened meanwhile: a row that died (its id may have come back, further on), and new rows.
                rows.remove(before.ids[before.alive & ~now.alive[: len(before.ids)]])
                new = np.flatnonzero(now.alive[len(before.ids) :]) + len(before.ids)
                rows.add(now.ids[new], now.vectors[new])
                self._rows, self._main = rows, main
                self._rebuilds, self._rebuild_s = self._rebuilds + 1, perf_counter() - started

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
        tried = _trials(view.vectors, alive, queries, seed)
        faiss.omp_set_num_threads(1)
        nearest, _ = _scan(view.vectors, view.alive, tried, k)
        found, _ = self.search(tried, nearest.shape[1])
        # By similarity, not by id: of those that are equal any will do, and what came meanwhile is no miss.
        slack = ROUNDING * view.longest * np.linalg.norm(tried, axis=1)
        return float((found >= nearest[:, -1:] - slack[:, None]).mean())

    def save(self, folder: Path) -> None:
        """See `AnnIndex.save`. The main index is saved too, so that loading builds nothing."""
        self.frozen()(folder)

    def frozen(self) -> Callable[[Path], None]:
        """See `AnnIndex.frozen`."""
        with self._lock:
            view, main = self._rows.view(), self._main

        def write(folder: Path) -> None:
            with new_snapshot(folder, np.where(view.alive, view.ids, -1), view.vectors) as draft:
                if main:
                    faiss.write_index(main, str(draft / MAIN))

        return write

    def fill(self, vectors: NDArray[np.float32]) -> None:
        """See `AnnIndex.fill`."""
        with self._lock:
            view = self._rows.view()
        for start in range(0, len(view.ids), 4096):  # in pieces, so that no second copy of all is made
            piece = slice(start, start + 4096)
            alive = view.alive[piece]
            vectors[view.ids[piece][alive]] = view.vectors[piece] if alive.all() else view.vectors[piece][alive]

    def like(self, folder: Path | None = None) -> Self:
        """See `AnnIndex.like`."""
        if folder is None:
            return type(self)(self._dimension, self._exact_below)
        return of_width(self._dimension, self.load(folder, self._exact_below))

    @classmethod
    def load(cls, folder: Path, exact_below: int = 50_000) -> Self:
        """See `AnnIndex.load`."""
        manifest, ids, vectors = read_snapshot(folder)
        index = cls(manifest.dimension, exact_below)
        index._rows = Rows.at(ids, vectors)
        if MAIN in manifest.sha256:
            try:
                main = faiss.read_index(str(folder / MAIN))
            except RuntimeError as error:
                raise SnapshotCorrupt(f"{folder}: {MAIN}: {error}") from error
            if not isinstance(main, Main) or main.d != manifest.dimension or main.ntotal > len(ids):
                raise SnapshotCorrupt(f"{folder}: {MAIN} does not belong to these rows")
            index._main = main
        return index

    def _is_due(self) -> bool:
        rows, covered = self._rows, self._main.ntotal if self._main else 0
        stale = rows.count - rows.alive_count > max(DEAD_MIN, DEAD_SHARE * rows.count)
        large = rows.count - covered > max(FRESH_MIN, FRESH_SHARE * covered)
        return rows.count > self._retry_above and (stale or (large and rows.alive_count >= self._exact_below))

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
    count, dimension = view.vectors.shape
    # As many lists as there are rows in two of them, and at least 39 rows a list, which k-means asks for.
    lists = max(1, min(int(2 * math.sqrt(count)), count // 39))
    main = faiss.IndexIVFScalarQuantizer(
        faiss.IndexFlatIP(dimension), dimension, lists, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT, False
    )
    main.cp.spherical = True
    main.cp.niter = 8  # more rounds and more points a list gained no recall
    main.cp.max_points_per_centroid = 64
    main.train(view.vectors)
    main.add(view.vectors)
    main.nprobe = _probes_needed(main, view)
    return main


def _trials(vectors: NDArray[np.float32], rows: NDArray[np.int64], count: int, seed: int) -> NDArray[np.float32]:
    """Returns queries like those of users, (count, D): every other a vector of these rows, the rest blends of two."""
    pairs = rows[np.random.default_rng(seed).integers(0, len(rows), (count, 2))]
    blend = np.where(np.arange(count) % 2, 0.5, 0.0).astype(np.float32)[:, None]
    queries: NDArray[np.float32] = vectors[pairs[:, 0]] + blend * vectors[pairs[:, 1]]
    return queries


def _probes_needed(main: Main, view: View) -> int:
    """Tries out how many lists to look into, with queries like those of users: items and blends of two."""
    queries = _trials(view.vectors, np.arange(len(view.ids)), TRIAL_QUERIES, 0)
    every = np.ones(len(view.ids), np.bool_)
    _, nearest = _scan(view.vectors, every, queries, TRIAL_K)
    probes = LEAST_PROBES
    while probes < main.nlist:
        found = _look_into(main, queries, nearest.shape[1], probes, every)
        hits = sum(np.isin(one, other).sum() for one, other in zip(nearest, found, strict=True))
        if hits >= TARGET_RECALL * nearest.size:
            break
        probes *= 2
    return min(probes, int(main.nlist))


def _approximate(
    main: Main, view: View, wanted: NDArray[np.bool_], queries: NDArray[np.float32], k: int
) -> list[NDArray[np.int64]]:
    """Returns for each query rows of the main index that are probably its k nearest, and a few more."""
    covered = slice(main.ntotal)
    count = int(np.count_nonzero(wanted[covered]))
    probes = math.ceil(main.nprobe * main.ntotal / max(count, 1))
    if probes > max(MOST_LISTS * main.nlist, main.nprobe) or count <= k + SLACK:
        return _exact(view, wanted, covered, queries, k)
    found = _look_into(main, queries, k + SLACK, probes, wanted[covered])
    candidates = list(found)
    for at in np.flatnonzero(found[:, -1] < 0):  # the lists looked into hold too few of what is wanted
        candidates[at] = _exact(view, wanted, covered, queries[at : at + 1], k)[0]
    return candidates


def _exact(
    view: View, wanted: NDArray[np.bool_], part: slice, queries: NDArray[np.float32], k: int
) -> list[NDArray[np.int64]]:
    """Returns for each query the rows of a part that hold its k nearest and all that tie with the last."""
    vectors, wanted, first = view.vectors[part], wanted[part], part.start or 0
    scores, found = _scan(vectors, wanted, queries, k + SLACK)
    candidates = list(found + first)
    if k == 0 or found.shape[1] < k + SLACK:  # nothing asked, or these are all
        return candidates
    floors = scores[:, k - 1] - ROUNDING * view.longest * np.linalg.norm(queries, axis=1)
    for at in np.flatnonzero(scores[:, -1] >= floors):  # the tie may go on beyond the slack
        every_score, every_row = _scan(vectors, wanted, queries[at : at + 1], len(vectors))
        candidates[at] = every_row[every_score >= floors[at]] + first
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
            selector = _selector(wanted)
        arrays = [faiss.swig_ptr(array) for array in (queries, vectors, scores, found)]
        faiss.knn_inner_product(  # type: ignore[call-arg]
            *arrays[:2], vectors.shape[1], len(queries), len(vectors), k, *arrays[2:], selector
        )
    return scores, found


def _look_into(
    main: Main, queries: NDArray[np.float32], k: int, probes: int, wanted: NDArray[np.bool_]
) -> NDArray[np.int64]:
    """Returns the k best wanted rows in the lists nearest to each query, (B, k); -1 where there are fewer."""
    parameters = faiss.SearchParametersIVF(nprobe=probes, sel=_selector(wanted))  # type: ignore[call-arg]
    found: NDArray[np.int64] = main.search(queries, k, params=parameters)[1]
    return found


def _selector(wanted: NDArray[np.bool_]) -> faiss.IDSelector:
    return faiss.IDSelectorBitmap(np.packbits(wanted, bitorder="little"))  # type: ignore[call-arg, arg-type]


def _similarities(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner products in float64 and without BLAS: equal vectors get equal similarities, on one thread."""
    products = np.einsum("nd,d->n", vectors.astype(np.float64), query.astype(np.float64))
    similarities: NDArray[np.float32] = products.astype(np.float32)
    return similarities

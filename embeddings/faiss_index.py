"""The index that serves: FAISS, exact while that is fast enough, approximate with an exact buffer above.

Rows lie in the order in which they came. The first of them may be covered by a main index; those after it
are the buffer, which is searched exactly, so an item can be found as soon as it was added. A thread in the
background takes the buffer into the main index when it has grown, and builds that anew when the rows have more
than doubled or many of them are dead.

This file says when that is due and swaps what is searched; `faiss_main` builds and searches the main index,
`faiss_scan` compares rows exactly. No other file imports faiss.
"""

import logging
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
from embeddings.faiss_main import Main, approximate, extended, lists, main_over, roughly, trials
from embeddings.faiss_scan import ROUNDING, exact, ranked
from embeddings.rows import Rows, Wanted
from embeddings.snapshot import MAIN, new_snapshot, read_snapshot

log = logging.getLogger(__name__)

FRESH_MIN, FRESH_SHARE = 4096, 0.01
"""Rows in the buffer, and their share of the main index, above which they are taken into it. 4,096 rows of 384
take 0.2 ms to scan."""

LISTS_GROWTH = 1.5
"""Once so many times more lists would be right, the lists are learned anew: when the rows have more than doubled."""

DEAD_MIN, DEAD_SHARE = 1024, 0.25
"""The same for dead rows, as a share of all rows: they cost memory and scanning."""

LEAST_ROWS = 64
"""Fewer rows teach the main index nothing."""


class FaissIndex:
    """An `AnnIndex` on FAISS. A search reads the rows of one moment and blocks nobody."""

    def __init__(self, dimension: int, exact_below: int = 5_000) -> None:
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

        Cost with 384 dimensions: 0.3 ms a query for 5,000 rows while exact, 0.5 ms for 40,000 above.
        """
        queries = checked_queries(queries, k, allowed, self._dimension)
        # FAISS would share a few queries out among all cores, and then wait for whichever is busy elsewhere:
        # at four queries the slowest twentieth took 8 ms instead of 1. It keeps the setting for each thread.
        faiss.omp_set_num_threads(1)
        if not k or not len(queries):
            return np.empty((len(queries), k), np.float32), np.empty((len(queries), k), np.int64)
        with self._lock:
            view, main = self._rows.view(), self._main
        wanted = view.every if allowed is None else Wanted(view.alive & is_allowed(view.ids, allowed))
        covered = main.ntotal if main else 0
        candidates = exact(view, wanted, covered, len(view.ids), queries, k)
        if rough and allowed is None:
            return roughly(main, view, queries, k, candidates)
        if main:
            nearest = approximate(main, view, wanted, queries, k)
            candidates = [np.concatenate(both) for both in zip(candidates, nearest, strict=True)]
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        for at, rows in enumerate(candidates):
            similarities, best = ranked(view, rows, queries[at], k)
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
        due = LISTS_GROWTH * main.nlist < lists(len(view.ids))
        main = main_over(view) if due else extended(main, view)
        with self._lock:
            self._main = main

    def _compact(self) -> None:
        with self._lock:
            before = self._rows.view()
        rows = Rows.compacted(before)
        main = main_over(rows.view()) if rows.count >= max(self._exact_below, LEAST_ROWS) else None
        with self._lock:
            now = self._rows.view()
            # What happened meanwhile: a row that died (its id may have come back, further on), and new rows.
            rows.remove(before.ids[before.alive & ~now.alive[: len(before.ids)]])
            new = np.flatnonzero(now.alive[len(before.ids) :]) + len(before.ids)
            rows.add(now.ids[new], now.take(new))
            self._rows, self._main = rows, main

    def wait(self) -> None:
        """See `AnnIndex.wait`."""
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
        tried = trials(view, alive, queries, seed)
        faiss.omp_set_num_threads(1)
        k = min(k, len(alive))
        candidates = exact(view, view.every, 0, len(view.ids), tried, k)
        least = [ranked(view, one, query, k)[0][-1] for one, query in zip(candidates, tried, strict=True)]
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
    def load(cls, folder: Path, exact_below: int = 5_000) -> Self:
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
        with index._lock:
            index._rebuild_if_due()  # it may have been saved before there was a main index, or with another bound
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

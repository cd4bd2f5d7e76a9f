"""The main index of `FaissIndex`: what it is built of, and how it is searched.

An inverted file (IVF) with four bits for each two numbers (a product quantiser that is scanned in registers); the best
that it finds are compared once more as float32.
docs/retrieval.md says what other kinds cost. Against a graph (HNSW) it also counts that the same rows give the same
index, and that what a selector leaves out is skipped while scanning, where a graph may lose its way.
"""

import math
from functools import lru_cache

import faiss
import numpy as np
from numpy.typing import NDArray

from embeddings.faiss_scan import SLACK, closest, exact, ranked, selecting
from embeddings.rows import PIECE, View, Wanted

# FAISS's type stubs know the C++ signatures only; what they do not know is ignored line by line below.
Main = faiss.IndexIVFPQFastScan

EXACT_COST = 10
"""The fewer rows may be found, the more lists are looked into. Comparing a wanted row itself costs as much as passing
so many rows of the lists by, and misses none."""

AGAIN = 6
"""So many times k rows, and SLACK, that the main index holds for the nearest are compared again as float32."""

PAIRED_FROM = 128
"""Vectors of fewer dimensions have four bits for each number: there is less to make up for what is lost."""

POINTS_PER_LIST, ROUNDS = 32, 4
"""Rows that the lists' centres are learned from, and how often; twice of both took four times as long and gained no
recall."""

LEAST_PROBES, PROBES_STEP, TARGET_RECALL, TRIAL_QUERIES, TRIAL_K = 8, 1.2, 0.985, 64, 100
"""How many lists a search looks into is tried out on each new main index: that many times more each time, from the
first number on, until so large a share of the nearest 100 is found. Which number that takes depends on the
data."""


def main_over(view: View) -> Main:
    """Builds the approximate index over all rows of a view. Its ids are the rows' numbers."""
    count, dimension = len(view.ids), view.parts[0].shape[1]
    main = _empty_main(faiss.IndexFlatIP(dimension), dimension, lists(count))
    main.cp.spherical = True
    main.cp.niter, main.cp.min_points_per_centroid = ROUNDS, 1
    main.pq.cp.min_points_per_centroid = 1  # it only warns
    sample = np.random.default_rng(0).choice(count, min(count, POINTS_PER_LIST * main.nlist), replace=False)
    main.train(view.take(np.sort(sample)))
    _add(main, view)
    main.nprobe = _probes_needed(main, view)
    return main


def extended(main: Main, view: View) -> Main:
    """Returns the index with the rows after those that it covers; nothing is learned anew."""
    larger: Main = faiss.clone_index(main)  # type: ignore[assignment] # of the same kind
    _add(larger, view)
    return larger


def approximate(
    main: Main, view: View, wanted: Wanted, queries: NDArray[np.float32], k: int
) -> list[NDArray[np.int64]]:
    """Returns for each query rows of the main index that are probably its k nearest, and a few more."""
    covered = main.ntotal
    count = wanted.count - int(np.count_nonzero(wanted.mask[covered:]))
    probes = min(math.ceil(main.nprobe * covered / max(count, 1)), int(main.nlist))
    if EXACT_COST * count < covered * probes / main.nlist or count <= AGAIN * k + SLACK:
        return exact(view, wanted, 0, covered, queries, k)
    found = _look_into(main, queries, AGAIN * k + SLACK, probes, wanted)
    candidates = []
    for at, (rows, query) in enumerate(zip(found, queries, strict=True)):
        if rows[k + SLACK - 1] < 0:  # the lists looked into hold too few of what is wanted
            candidates += exact(view, wanted, 0, covered, queries[at : at + 1], k)
        else:
            candidates.append(closest(view, rows[rows >= 0], query, k + SLACK))
    return candidates


def roughly(
    main: Main | None, view: View, queries: NDArray[np.float32], k: int, compared: list[NDArray[np.int64]]
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns what the codes of the main index say, if there is one, and rows that were compared for each query.

    As `AnnIndex.search` does, but near is near enough.
    """
    if main is None:
        scores, ids = np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64)
    else:
        probes = max(LEAST_PROBES, main.nprobe // len(queries))
        scores, rows = _found_by_codes(main, queries, k, probes, view.every)
        ids, none = view.ids.take(rows, mode="wrap"), rows < 0
        ids[none], scores[none] = -1, -np.inf
    for at, some in enumerate(compared):
        if len(some):
            both = np.concatenate([scores[at], view.take(some) @ queries[at]])
            best = np.argsort(-both, kind="stable")[:k]
            scores[at], ids[at] = both[best], np.concatenate([ids[at], view.ids[some]])[best]
    return scores, ids


def lists(count: int) -> int:
    """As many lists as there are rows in two of them, at least as many rows a list as its centre is learned from."""
    return max(1, min(int(2 * math.sqrt(count)), count // POINTS_PER_LIST))


def trials(view: View, rows: NDArray[np.int64], count: int, seed: int) -> NDArray[np.float32]:
    """Returns queries like those of users, (count, D): every other a vector of these rows, the rest blends of two."""
    pairs = rows[np.random.default_rng(seed).integers(0, len(rows), (count, 2))]
    blend = np.where(np.arange(count) % 2, 0.5, 0.0).astype(np.float32)[:, None]
    queries: NDArray[np.float32] = view.take(pairs[:, 0]) + blend * view.take(pairs[:, 1])
    return queries


def _empty_main(quantizer: faiss.Index, dimension: int, lists: int) -> Main:
    parts = dimension // 2 if dimension % 2 == 0 and dimension >= PAIRED_FROM else dimension
    return faiss.IndexIVFPQFastScan(quantizer, dimension, lists, parts, 4, faiss.METRIC_INNER_PRODUCT)


def _add(main: Main, view: View) -> None:
    for start in range(main.ntotal, len(view.ids), PIECE):
        for _, piece in view.pieces(start, min(len(view.ids), start + PIECE)):
            main.add(piece)


def _probes_needed(main: Main, view: View) -> int:
    """Tries out how many lists to look into, with queries like those of users: items and blends of two."""
    queries = trials(view, np.arange(len(view.ids)), TRIAL_QUERIES, 0)
    every = Wanted(np.ones(len(view.ids), np.bool_))
    k = min(TRIAL_K, len(view.ids))
    candidates = exact(view, every, 0, len(view.ids), queries, k)
    nearest = [ranked(view, one, query, k)[1] for one, query in zip(candidates, queries, strict=True)]
    probes, before = LEAST_PROBES, 0
    while probes < main.nlist:
        found = _look_into(main, queries, AGAIN * k + SLACK, probes, every)
        hits = sum(int(np.isin(one, other).sum()) for one, other in zip(nearest, found, strict=True))
        if hits >= TARGET_RECALL * k * len(queries) or 0 < hits <= before:  # or no list would help any more
            break
        probes, before = math.ceil(probes * PROBES_STEP), hits
    return min(probes, int(main.nlist))


def _look_into(main: Main, queries: NDArray[np.float32], k: int, probes: int, wanted: Wanted) -> NDArray[np.int64]:
    """Returns the k best wanted rows in the lists nearest to each query, (B, k); -1 where there are fewer."""
    return _found_by_codes(main, queries, k, probes, wanted)[1]


def _found_by_codes(
    main: Main, queries: NDArray[np.float32], k: int, probes: int, wanted: Wanted
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    found: tuple[NDArray[np.float32], NDArray[np.int64]] = main.search(queries, k, params=_parameters(probes, wanted))
    return found


def _parameters(probes: int, wanted: Wanted) -> faiss.SearchParametersIVF:
    if wanted.count == len(wanted.mask):  # as long as nothing was replaced or removed; a bit for each row costs time
        return _without_selector(probes)
    return faiss.SearchParametersIVF(nprobe=probes, sel=selecting(wanted.bits))  # type: ignore[call-arg]


@lru_cache
def _without_selector(probes: int) -> faiss.SearchParametersIVF:
    return faiss.SearchParametersIVF(nprobe=probes)  # type: ignore[call-arg]

"""Comparing rows with queries one by one, as float32: the exact part of `FaissIndex`."""

import faiss
import numpy as np
from numpy.typing import NDArray

from embeddings.rows import View, Wanted

# FAISS's type stubs know the C++ signatures only; what they do not know is ignored line by line below.

_NO_ROWS = np.empty(0, np.int64)

SLACK = 16
"""So many more than k are looked for, so that what ties with the last is among them."""

ROUNDING = 1e-5
"""How far a float32 similarity of unit vectors may be off; far more than was ever seen (1e-6)."""


def exact(  # noqa: PLR0917 - what to search, where, and for what
    view: View, wanted: Wanted, start: int, end: int, queries: NDArray[np.float32], k: int
) -> list[NDArray[np.int64]]:
    """Returns for each query the rows from start to end that hold its k nearest and all that tie with the last."""
    candidates = [_NO_ROWS] * len(queries)
    for first, vectors in view.pieces(start, end):
        nearest = _nearest(vectors, wanted.mask[first : first + len(vectors)], queries, k, view.longest)
        candidates = [np.concatenate([one, rows + first]) for one, rows in zip(candidates, nearest, strict=True)]
    return candidates


def closest(view: View, rows: NDArray[np.int64], query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """Returns at most `count` of some rows, the nearest but for rounding."""
    if len(rows) <= count:
        return rows
    similarities = view.take(rows) @ query
    nearest: NDArray[np.int64] = rows[np.argpartition(-similarities, count)[:count]]
    return nearest


def ranked(
    view: View, rows: NDArray[np.int64], query: NDArray[np.float32], k: int
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Returns the k nearest of some rows, with their similarities, equal ones ascending by id."""
    similarities = _similarities(view.take(rows), query)
    best = np.lexsort((view.ids[rows], -similarities))[:k]
    return similarities[best], rows[best]


def _nearest(  # noqa: PLR0917 - see `exact`
    vectors: NDArray[np.float32], wanted: NDArray[np.bool_], queries: NDArray[np.float32], k: int, longest: float
) -> list[NDArray[np.int64]]:
    """Returns as `exact`, of one piece of the rows; numbered from its first."""
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
            selector = selecting(np.packbits(wanted, bitorder="little"))
        arrays = [faiss.swig_ptr(array) for array in (queries, vectors, scores, found)]
        faiss.knn_inner_product(  # type: ignore[call-arg]
            *arrays[:2], vectors.shape[1], len(queries), len(vectors), k, *arrays[2:], selector
        )
    return scores, found


def selecting(bits: NDArray[np.uint8]) -> faiss.IDSelector:
    """Returns what lets FAISS find the rows whose bit is set."""
    return faiss.IDSelectorBitmap(bits)  # type: ignore[call-arg, arg-type]


def _similarities(vectors: NDArray[np.float32], query: NDArray[np.float32]) -> NDArray[np.float32]:
    """Inner products in float64 and without BLAS: equal vectors get equal similarities, on one thread."""
    products = np.einsum("nd,d->n", vectors.astype(np.float64), query.astype(np.float64))
    similarities: NDArray[np.float32] = products.astype(np.float32)
    return similarities

"""The exact index in plain NumPy: right by looking at it, and the oracle that the tests hold FAISS to."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

from embeddings.ann_index import IndexState, checked_queries, checked_rows, is_allowed, of_width
from embeddings.rows import longest
from embeddings.snapshot import new_snapshot, read_snapshot


class ExactIndex:
    """An `AnnIndex` that compares the query with every vector.

    Each change makes new arrays, so a search sees the rows of one moment. That costs O(N) a change: give
    it many rows at once.
    """

    def __init__(self, dimension: int) -> None:
        self._rows = (np.empty(0, np.int64), np.empty((0, dimension), np.float32))  # ascending by id
        self._changing = threading.Lock()

    @property
    def dimension(self) -> int:
        """D, the width of the vectors."""
        return int(self._rows[1].shape[1])

    def __len__(self) -> int:
        """N, how many ids are held."""
        return len(self._rows[0])

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """See `AnnIndex.add`."""
        ids, vectors = checked_rows(ids, vectors, self.dimension)
        with self._changing:
            old_ids, old_vectors = self._without(ids)
            all_ids = np.concatenate([old_ids, ids])
            order = np.argsort(all_ids)
            self._rows = all_ids[order], np.concatenate([old_vectors, vectors])[order]

    def remove(self, ids: NDArray[np.int64]) -> None:
        """See `AnnIndex.remove`."""
        with self._changing:
            self._rows = self._without(ids)

    def search(
        self,
        queries: NDArray[np.float32],
        k: int,
        allowed: NDArray[np.bool_] | None = None,
        rough: bool = False,  # noqa: ARG002
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """See `AnnIndex.search`. In float64, so that which kernel multiplies decides no tie."""
        queries = checked_queries(queries, k, allowed, self.dimension)
        ids, vectors = self._rows
        if allowed is not None:
            within = is_allowed(ids, allowed)
            ids, vectors = ids[within], vectors[within]
        similarities = (queries.astype(np.float64) @ vectors.astype(np.float64).T).astype(np.float32)
        best = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
        scores = np.full((len(queries), k), -np.inf, np.float32)
        found = np.full((len(queries), k), -1, np.int64)
        scores[:, : best.shape[1]] = np.take_along_axis(similarities, best, axis=1)
        found[:, : best.shape[1]] = ids[best]
        return scores, found

    def wait(self) -> None:
        """See `AnnIndex.wait`. Nothing is ever built."""

    def state(self) -> IndexState:
        """See `AnnIndex.state`."""
        return IndexState(len(self))

    def recall(self, queries: int, k: int, seed: int) -> float | None:  # noqa: ARG002
        """See `AnnIndex.recall`. All is found, as it looks at every vector."""
        return 1.0 if len(self) else None

    def save(self, folder: Path) -> None:
        """See `AnnIndex.save`."""
        self.frozen()(folder)

    def frozen(self) -> Callable[[Path], None]:
        """See `AnnIndex.frozen`."""
        rows = self._rows

        def write(folder: Path) -> None:
            with new_snapshot(folder, rows[0], [rows[1]], longest(rows[1])):
                pass

        return write

    def vectors_of(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """See `AnnIndex.vectors_of`."""
        held, vectors = self._rows
        found = np.zeros((len(ids), self.dimension), np.float32)
        known = np.isin(ids, held)
        found[known] = vectors[np.searchsorted(held, ids[known])]
        return found

    def like(self, folder: Path | None = None) -> Self:
        """See `AnnIndex.like`."""
        return type(self)(self.dimension) if folder is None else of_width(self.dimension, self.load(folder))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """See `AnnIndex.load`."""
        manifest, ids, vectors = read_snapshot(folder)
        index = cls(manifest.dimension)
        index.add(ids[ids >= 0], vectors[ids >= 0])
        return index

    def _without(self, ids: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        old_ids, old_vectors = self._rows
        kept = ~np.isin(old_ids, ids)
        return old_ids[kept], old_vectors[kept]

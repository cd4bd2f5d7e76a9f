"""What the rest of Freshet knows of a nearest-neighbour index, and the checks that every index makes.

Ids are row numbers of the catalogue: small non-negative integers, so that a mask over them is an array.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from domain.errors import DimensionMismatch

MAX_ID = 2**31 - 1
"""An id above this is no row number; indexes and masks take memory up to the largest id."""


@dataclass(frozen=True)
class IndexState:
    """How an index stands.

    Attributes:
        vectors: how many ids are held.
        fresh: rows in the exact buffer beside an approximate main index; 0 while all is exact.
        dead: rows that were replaced or removed and still take memory.
        rebuilds: how often it was built anew since it was made.
        rebuild_s: how long the last time took; 0 before the first.
    """

    vectors: int
    fresh: int = 0
    dead: int = 0
    rebuilds: int = 0
    rebuild_s: float = 0.0


class AnnIndex(Protocol):
    """Holds vectors under ids and finds those most similar to a query.

    The similarity is the inner product: the cosine, for unit rows. Safe to call from several threads.
    """

    @property
    def dimension(self) -> int:
        """D, the width of the vectors."""
        ...

    def __len__(self) -> int:
        """N, how many ids are held."""
        ...

    def add(self, ids: NDArray[np.int64], vectors: NDArray[np.float32]) -> None:
        """Adds vectors, all or none; an id that is held already is replaced, of one given twice the last counts.

        Args:
            ids: (B,) int64.
            vectors: (B, D) float32, finite.

        Raises:
            DimensionMismatch: the vectors are not (B, D).
            ValueError: a vector is not finite, or an id is no row number.
        """
        ...

    def remove(self, ids: NDArray[np.int64]) -> None:
        """Removes ids, (B,) int64; those that are not held are ignored."""
        ...

    def search(
        self, queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None = None, rough: bool = False
    ) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Finds the k most similar vectors to each query.

        Args:
            queries: (B, D) float32, finite.
            k: how many, at least 0; it may exceed N.
            allowed: mask indexed by id; False or beyond its length is not allowed. None allows all.
            rough: what is found need not be the nearest, only near, and similarities may be estimates: for
                candidates, which something else ranks. Several queries share the effort of one. A search that is
                restricted by a mask stays what it is.

        Returns:
            Similarities (B, k) float32, descending, and their ids (B, k) int64; where the search is exact and not
            rough, equal ones ascending by id. Missing places are -inf and -1.

        Raises:
            DimensionMismatch: the queries are not (B, D).
            ValueError: a query is not finite, k is negative, or the mask is not one row of booleans.
        """
        ...

    def wait(self) -> None:
        """Waits until nothing is being rebuilt in the background."""
        ...

    def state(self) -> IndexState:
        """Says how the index stands."""
        ...

    def recall(self, queries: int, k: int, seed: int) -> float | None:
        """Tries searches out and compares them with looking at every vector; takes as long as that.

        Args:
            queries: how many to try: held vectors and blends of two, as users' profiles are.
            k: how many each looks for.
            seed: which.

        Returns:
            The share that was found of what should be, 0 to 1; None if nothing is held.
        """
        ...

    def save(self, folder: Path) -> None:
        """Writes a snapshot, whole or not at all; takes the place of one that is there."""
        ...

    def frozen(self) -> Callable[[Path], None]:
        """Returns a `save` of what is held now, whatever changes until it is called; costs a mask of the rows."""
        ...

    def vectors_of(self, ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns the vectors under these ids, (B,) int64, as they were added: (B, D); zeros where there is none."""
        ...

    def like(self, folder: Path | None = None) -> Self:
        """Returns another index of this kind and these settings: empty, or what a folder holds.

        Raises:
            SnapshotCorrupt: as `load`.
            DimensionMismatch: the folder's vectors are of another width.
        """
        ...

    @classmethod
    def load(cls, folder: Path) -> "AnnIndex":
        """Opens a snapshot that any index saved; its vectors are read from the file when they are needed.

        Raises:
            SnapshotCorrupt: with the reason; missing, damaged, truncated or of another format.
        """
        ...


Index = TypeVar("Index", bound=AnnIndex)


def checked_rows(
    ids: NDArray[np.int64], vectors: NDArray[np.float32], dimension: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Returns what may be added, each id once (the last given); raises what `AnnIndex.add` says."""
    ids = np.atleast_1d(np.asarray(ids, np.int64))
    vectors = _checked_matrix(vectors, dimension, "vectors")
    if ids.shape != (len(vectors),):
        raise DimensionMismatch(f"{len(vectors)} vectors need as many ids, got shape {ids.shape}")
    if len(ids) and not (0 <= ids.min() and ids.max() <= MAX_ID):
        raise ValueError(f"ids are row numbers from 0 to {MAX_ID}, got {ids.min()} to {ids.max()}")
    if len(ids) > 1:
        _, from_end = np.unique(ids[::-1], return_index=True)
        if len(from_end) < len(ids):  # else nothing is copied
            last = np.sort(len(ids) - 1 - from_end)
            ids, vectors = ids[last], vectors[last]
    return ids, vectors


def checked_queries(
    queries: NDArray[np.float32], k: int, allowed: NDArray[np.bool_] | None, dimension: int
) -> NDArray[np.float32]:
    """Returns queries that may be searched; raises what `AnnIndex.search` says."""
    if k < 0:
        raise ValueError(f"k: how many to find, at least 0, got {k}")
    if allowed is not None and (allowed.ndim != 1 or allowed.dtype != np.bool_):
        raise ValueError(f"allowed: one row of booleans, got {allowed.dtype} of shape {allowed.shape}")
    return _checked_matrix(queries, dimension, "queries")


def is_allowed(ids: NDArray[np.int64], allowed: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Returns for each id, all non-negative, whether the mask allows it; beyond its end it does not."""
    if not len(allowed):
        return np.zeros(len(ids), np.bool_)
    within: NDArray[np.bool_] = np.take(allowed, ids, mode="clip") & (ids < len(allowed))
    return within


def of_width(dimension: int, index: Index) -> Index:
    """Returns an index that was read from a folder if it fits; raises what `AnnIndex.like` says."""
    if index.dimension != dimension:
        raise DimensionMismatch(f"the saved index has {index.dimension} dimensions, not {dimension}")
    return index


def _checked_matrix(rows: NDArray[np.float32], dimension: int, what: str) -> NDArray[np.float32]:
    rows = np.ascontiguousarray(rows, np.float32)
    if rows.ndim != 2 or rows.shape[1] != dimension:
        raise DimensionMismatch(f"{what}: expected (B, {dimension}), got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{what}: every number must be finite")
    return rows

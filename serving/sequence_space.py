"""The catalogue as the sequence model sees it: a vector for each item, kept up as texts are embedded."""

import numpy as np
from numpy.typing import NDArray

from embeddings.ann_index import AnnIndex
from learning.compiled import compiled
from learning.sequence.inference import SequenceEncoder
from serving.catalogue import Catalogue

PART = 50_000
"""Rows projected at once."""


class SequenceSpace:
    """Vectors of all items under one sequence model.

    Attributes:
        encoder: the model.
        index: nearest items by inner product.
    """

    def __init__(self, encoder: SequenceEncoder, catalogue: Catalogue, index: AnnIndex) -> None:
        self.encoder = encoder
        self.index = index
        self._catalogue = catalogue
        self._vectors = np.zeros((0, encoder.width), np.float32)
        self._read = 0
        self._rows = 0
        self.keep_up()

    def keep_up(self) -> None:
        """Takes the items that came or changed since the last call."""
        catalogue = self._catalogue
        changes, rows = len(catalogue.vector_changes), len(catalogue)
        if changes == self._read and rows == self._rows:
            return
        new = np.arange(self._rows, rows)
        changed = np.union1d(catalogue.vector_changes[self._read : changes], new).astype(np.int64)
        self._read, self._rows = changes, rows
        if rows > len(self._vectors):
            grown = np.zeros((max(rows, 2 * len(self._vectors)), self.encoder.width), np.float32)
            grown[: len(self._vectors)] = self._vectors
            self._vectors = grown
        for at in range(0, len(changed), PART):
            part = changed[at : at + PART]
            ids = [catalogue.ids[row] for row in part]
            self._vectors[part] = self.encoder.item_vectors(ids, catalogue.vectors[part])
            self.index.add(part, self._vectors[part])

    def scores(self, rows: NDArray[np.int64], user: NDArray[np.float32]) -> NDArray[np.float32]:
        """Returns (C,) float32: the inner products of these rows' vectors with a user's, (M,)."""
        if rows.max(initial=-1) >= len(self._vectors):  # the loop would look behind the array
            raise IndexError(f"row {rows.max()} of a catalogue that this space has not kept up with")
        found: NDArray[np.float32] = _products(self._vectors, rows, user)
        return found

    def items(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns (C, M) float32: the vectors of these rows."""
        return self._vectors.take(rows, axis=0)


@compiled("(float32[:, ::1], int64[::1], float32[::1])")
def _products(vectors: NDArray[np.float32], rows: NDArray[np.int64], user: NDArray[np.float32]) -> NDArray[np.float32]:
    found = np.empty(len(rows), np.float32)
    for at in range(len(rows)):
        row, total = rows[at], np.float32(0)
        for dimension in range(len(user)):
            total += vectors[row, dimension] * user[dimension]
        found[at] = total
    return found

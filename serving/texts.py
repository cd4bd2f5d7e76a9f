"""The text vectors of all items once more, in a byte for each number: what a request compares by the thousand.

As float32 they lie in the index. A third of a request went into fetching those of its candidates from there, a
kilobyte and a half each; a code is a quarter of that, and its products are off by some thousandths.
"""

import numpy as np
from numpy.typing import NDArray

from embeddings.ann_index import AnnIndex
from learning.compiled import compiled
from serving.numbering import Rows

Codes = NDArray[np.int8]
Floats = NDArray[np.float32]

PRODUCTS = 7
"""So many products are made of each text at once, by a loop that holds their sums in the processor's registers."""

PIECE = 50_000
"""Rows fetched from the index at once."""

_LARGEST = np.float32(127)


class Texts:
    """A code and its scale for each row; a row without a text has zeros.

    Attributes:
        codes: (capacity, D) int8.
        scales: (capacity,) float32; a row's vector is its code times its scale, but for rounding.
    """

    def __init__(self, dimension: int, capacity: int) -> None:
        self.codes = np.zeros((capacity, dimension), np.int8)
        self.scales = np.zeros(capacity, np.float32)
        self._used = 0

    def put(self, rows: Rows, vectors: Floats) -> None:
        """Takes the vectors, (some, D), of some rows."""
        self._used = max(self._used, int(rows.max(initial=-1)) + 1)
        _encode(rows, vectors, self.codes, self.scales)

    def restore(self, index: AnnIndex, size: int) -> None:
        """Takes all that an index holds of the rows below `size`."""
        for start in range(0, size, PIECE):
            rows = np.arange(start, min(start + PIECE, size))
            self.put(rows, index.vectors_of(rows))

    def grow(self, capacity: int) -> None:
        """Makes room for so many rows."""
        codes, scales = np.zeros((capacity, self.codes.shape[1]), np.int8), np.zeros(capacity, np.float32)
        used = slice(self._used)  # what nothing was put into takes no memory, unless it is copied
        codes[used], scales[used] = self.codes[used], self.scales[used]
        self.codes, self.scales = codes, scales

    def means(self, rows: Rows, weights: Floats) -> tuple[Floats, Floats]:
        """Returns the mean of the texts of (C,) rows and their sum, each times its weight: (D,) both.

        Of the (C,) weights their mean is taken away.
        """
        mean, weighted = _sums(self.codes, self.scales, rows, weights)
        return mean, weighted

    def products(self, rows: Rows, sought: Floats, usual: Floats | None = None) -> Floats:
        """Returns the inner products of the texts of (C,) rows with at most PRODUCTS sought ones: (K, C).

        Less what is usual, (K,), where a row has a text.
        """
        padded, less = np.zeros((PRODUCTS, sought.shape[1]), np.float32), np.zeros(PRODUCTS, np.float32)
        padded[: len(sought)] = sought
        if usual is not None:
            less[: len(sought)] = usual
        found: Floats = _products(self.codes, self.scales, rows, padded, less)[: len(sought)]
        return found


@compiled("(int64[::1], float32[:, ::1], int8[:, ::1], float32[::1])")
def _encode(rows: Rows, vectors: Floats, codes: Codes, scales: Floats) -> None:
    for at in range(len(rows)):
        row, largest = rows[at], np.float32(0)
        for dimension in range(vectors.shape[1]):
            largest = max(largest, abs(vectors[at, dimension]))
        scales[row] = largest / _LARGEST
        by = _LARGEST / largest if largest > 0 else np.float32(0)
        for dimension in range(vectors.shape[1]):
            codes[row, dimension] = np.int8(np.rint(vectors[at, dimension] * by))


@compiled("(int8[:, ::1], float32[::1], int64[::1], float32[::1])")
def _sums(codes: Codes, scales: Floats, rows: Rows, weights: Floats) -> tuple[Floats, Floats]:
    weights = weights - weights.sum() / np.float32(max(1, len(rows)))
    total, weighted = np.zeros(codes.shape[1], np.float32), np.zeros(codes.shape[1], np.float32)
    fours = len(rows) // 4 * 4
    for at in range(0, fours, 4):  # four rows at once: the sums are fetched and put back a quarter as often
        one, two, three, four = rows[at], rows[at + 1], rows[at + 2], rows[at + 3]
        by_1, by_2, by_3, by_4 = scales[one], scales[two], scales[three], scales[four]
        to_1, to_2, to_3, to_4 = (
            by_1 * weights[at],
            by_2 * weights[at + 1],
            by_3 * weights[at + 2],
            by_4 * weights[at + 3],
        )
        for dimension in range(codes.shape[1]):
            a, b = np.float32(codes[one, dimension]), np.float32(codes[two, dimension])
            c, d = np.float32(codes[three, dimension]), np.float32(codes[four, dimension])
            total[dimension] += by_1 * a + by_2 * b + by_3 * c + by_4 * d
            weighted[dimension] += to_1 * a + to_2 * b + to_3 * c + to_4 * d
    for at in range(fours, len(rows)):
        scale, weight = scales[rows[at]], scales[rows[at]] * weights[at]
        for dimension in range(codes.shape[1]):
            total[dimension] += scale * np.float32(codes[rows[at], dimension])
            weighted[dimension] += weight * np.float32(codes[rows[at], dimension])
    return total / np.float32(max(1, len(rows))), weighted


@compiled("(int8[:, ::1], float32[::1], int64[::1], float32[:, ::1], float32[::1])")
def _products(codes: Codes, scales: Floats, rows: Rows, sought: Floats, usual: Floats) -> Floats:
    found = np.empty((PRODUCTS, len(rows)), np.float32)
    for at in range(0, len(rows), 2):  # two rows at once: what is sought is fetched half as often
        one, two = rows[at], rows[min(at + 1, len(rows) - 1)]
        a1 = a2 = b1 = b2 = c1 = c2 = d1 = d2 = e1 = e2 = f1 = f2 = g1 = g2 = np.float32(0)
        for dimension in range(codes.shape[1]):
            x, y = np.float32(codes[one, dimension]), np.float32(codes[two, dimension])
            a, b, c, d = sought[0, dimension], sought[1, dimension], sought[2, dimension], sought[3, dimension]
            e, f, g = sought[4, dimension], sought[5, dimension], sought[6, dimension]
            a1, b1, c1, d1 = a1 + x * a, b1 + x * b, c1 + x * c, d1 + x * d
            e1, f1, g1 = e1 + x * e, f1 + x * f, g1 + x * g
            a2, b2, c2, d2 = a2 + y * a, b2 + y * b, c2 + y * c, d2 + y * d
            e2, f2, g2 = e2 + y * e, f2 + y * f, g2 + y * g
        for place, sum_ in enumerate((a2, b2, c2, d2, e2, f2, g2)):
            found[place, min(at + 1, len(rows) - 1)] = sum_ * scales[two] - (usual[place] if scales[two] > 0 else 0)
        for place, sum_ in enumerate((a1, b1, c1, d1, e1, f1, g1)):
            found[place, at] = sum_ * scales[one] - (usual[place] if scales[one] > 0 else 0)
    return found

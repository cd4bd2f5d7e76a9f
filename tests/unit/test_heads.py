"""The head of what is popular, beside all of it in order."""

import numpy as np
import pytest

from serving.heads import KEPT, Head


@pytest.mark.parametrize("size", [0, 7, KEPT + 200, 5 * KEPT])
def test_the_head_holds_the_highest_in_order_and_equal_ones_by_their_row(size: int):
    chance = np.random.default_rng(size)
    values = chance.integers(0, 40, size).astype(float)
    head = Head()
    for row in chance.permutation(size).tolist():
        head.put(row, values[row] - 1)
    for row in chance.permutation(size).tolist():
        head.put(row, values[row])
    for row in range(0, size, 7):
        head.drop(row)
    known = [row for row in head._places if row % 7]
    best = sorted(known, key=lambda row: (-values[row], row))
    for limit in (3, 0, 150, 20, KEPT, 2 * KEPT):
        assert head.top(limit).tolist() == best[: min(limit, KEPT)]

"""Numbering beside NumPy's sorting: the same rows and places, whatever an earlier call has left behind."""

import numpy as np

from serving.numbering import Numbering


def test_distinct_rows_come_in_the_order_of_their_first_occurrence():
    numbering, chance = Numbering(), np.random.default_rng(0)
    for size in (0, 1, 30, 3000, 7):
        rows = chance.integers(0, 5000, size)
        _, first = np.unique(rows, return_index=True)
        assert numbering.distinct(rows).tolist() == rows[np.sort(first)].tolist()


def test_places_are_those_of_a_dictionary_and_unknown_rows_have_none():
    numbering, chance = Numbering(), np.random.default_rng(1)
    for size in (0, 1, 40, 2000, 5):
        known = chance.permutation(6000)[:size]
        rows = chance.integers(0, 9000, 500)
        where = {row: at for at, row in enumerate(known.tolist())}
        assert numbering.places(known, rows).tolist() == [where.get(row, -1) for row in rows.tolist()]

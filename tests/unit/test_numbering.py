"""Numbering beside NumPy's sorting: the same rows and places, whatever an earlier call has left behind."""

import numpy as np

from serving.numbering import Numbering, absent, best_first, by_tie, highest


def test_distinct_rows_come_in_the_order_of_their_first_occurrence():
    numbering, chance = Numbering(5000), np.random.default_rng(0)
    for size in (0, 1, 30, 3000, 7):
        rows = chance.integers(0, 5000, size)
        _, first = np.unique(rows, return_index=True)
        assert numbering.distinct(rows).tolist() == rows[np.sort(first)].tolist()


def test_places_are_those_of_a_dictionary_and_unknown_rows_have_none():
    numbering, chance = Numbering(9000), np.random.default_rng(1)
    for size in (0, 1, 40, 2000, 5):
        known = chance.permutation(6000)[:size]
        rows = chance.integers(0, 9000, 500)
        where = {row: at for at, row in enumerate(known.tolist())}
        assert numbering.places(known, rows).tolist() == [where.get(row, -1) for row in rows.tolist()]


def test_the_best_come_first_and_equal_ones_as_they_come():
    chance = np.random.default_rng(2)
    for size in (0, 1, 7, 3000):
        scores = chance.normal(scale=10.0 ** chance.integers(-30, 30, size)).astype(np.float32)
        scores[chance.random(size) < 0.3] = chance.choice(np.array([0.0, -0.0, 1.5, -1.5], np.float32))
        assert best_first(scores).tolist() == np.argsort(-scores, kind="stable").tolist()


def test_rows_are_ordered_by_their_number_and_equal_ones_by_row():
    chance = np.random.default_rng(3)
    for size in (0, 1, 2000):
        rows, tie = chance.permutation(5000)[:size], chance.choice(np.array([0, 5, 2**32 - 1], np.uint32), size)
        assert by_tie(rows, tie).tolist() == rows[np.lexsort((rows, tie))].tolist()


def test_absent_rows_are_those_that_are_not_known_even_where_their_last_bits_are():
    chance = np.random.default_rng(4)
    for size in (0, 1, 20, 300):
        known, rows = chance.permutation(9000)[:size], chance.integers(-1, 9000, 2000)
        rows[: len(known)] = known + chance.choice([0, 4096, -4096], size)
        assert absent(known, rows).tolist() == (~np.isin(rows, known)).tolist()


def test_the_highest_are_the_first_of_all_that_are_positive_in_the_order_of_value_and_tie():
    chance = np.random.default_rng(3)
    for size in (0, 1, 20, 21, 3000):
        for spread in (3, 10_000):  # most of them equal, and hardly any
            values = chance.integers(-1, spread, size).astype(np.float32)
            tie = chance.permutation(size).astype(np.uint32)
            expected = [at for at in np.lexsort((tie, -values)) if values[at] > 0][:20]
            assert highest(values, tie, 20).tolist() == expected

"""Texts of similar length go through the encoder together; every one does, once."""

from itertools import chain

from hypothesis import given
from hypothesis import strategies as st

from embeddings.batches import PADDING, batches


def padding(lengths: list[int], places: list[int]) -> int:
    return sum(max(lengths[one] for one in places) - lengths[one] for one in places)


@given(st.lists(st.integers(1, 300)), st.integers(1, 70))
def test_every_text_is_in_one_batch_and_none_holds_too_many(lengths: list[int], most: int):
    cut = batches(lengths, most)
    assert sorted(chain(*cut)) == list(range(len(lengths)))
    assert all(0 < len(one) <= most and padding(lengths, one) <= PADDING for one in cut)


def test_equally_long_texts_that_are_many_are_not_padded():
    lengths = [11, 12] * 50
    assert [padding(lengths, one) for one in batches(lengths, 64)] == [0, 0]


def test_a_few_of_similar_length_share_a_batch():
    assert batches([10, 11, 12], 64) == [[0, 1, 2]]
    assert len(batches(list(range(20, 30)), 64)) == 2


def test_a_long_text_does_not_make_short_ones_long():
    assert batches([10] * 8 + [200], 64) == [list(range(8)), [8]]

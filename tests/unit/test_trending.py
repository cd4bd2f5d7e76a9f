"""What trends, beside a count of all rivals."""

import numpy as np
import pytest

from domain.items import Item
from embeddings.faiss_index import FaissIndex
from serving.catalogue import Catalogue
from serving.trending import COUNTED_ANEW, SHARE, Trending


def catalogue_of(count: int) -> Catalogue:
    catalogue = Catalogue(FaissIndex(4), None)
    for at in range(count):
        catalogue.put_item(f"i{at}", Item(item_id=f"i{at}", title="", categories=[f"c{at % 3}"]), 0)
    return catalogue


@pytest.mark.parametrize("category", [None, "c0", "c2"])
@pytest.mark.parametrize("size", [3, 9, 40, 400])
def test_what_trends_has_fewer_rivals_above_it_than_a_tenth(size, category):
    catalogue, chance = catalogue_of(size), np.random.default_rng(size)
    trending = Trending(catalogue)
    for changes in range(20):
        values = chance.standard_normal(size)
        rivals = values if category is None else values[np.arange(size) % 3 == int(category[1])]
        floor = trending.floor(category, values, changes)
        above = [(rivals > one).sum() < max(1, len(rivals) // SHARE) for one in rivals]
        assert (rivals >= floor).tolist() == above


def test_a_large_catalogue_is_counted_again_after_changes_to_a_tenth_of_it():
    size = 2 * COUNTED_ANEW
    trending, values = Trending(catalogue_of(size)), np.arange(size, dtype=np.float64)
    before = trending.floor(None, values, 0)
    assert trending.floor(None, values + 1, size // SHARE - 1) == before
    assert trending.floor(None, values + 1, size // SHARE) == before + 1


def test_a_category_that_few_have_touched_is_counted_again_after_changes_to_a_tenth_of_its_own():
    size = 12 * COUNTED_ANEW
    trending, values = Trending(catalogue_of(size)), np.full(size, -np.inf)
    assert trending.floor("c0", values, 0) == -np.inf
    values[::3] = 1.0
    assert trending.floor("c0", values, size // 3 // SHARE) == 1.0


def test_nothing_trends_in_a_category_that_nobody_has():
    assert Trending(catalogue_of(3)).floor("other", np.zeros(3), 0) == np.inf

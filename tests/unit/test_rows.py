"""What the catalogue holds encoded comes out as it was put in, from memory and from a snapshot's columns."""

import numpy as np
import pytest

from domain.items import Item
from serving.columns import Ragged
from serving.rows import REMEMBERED, Items, RowSets

ONE, OTHER = Item(item_id="a", title="A", categories=["x"], price=2.5), Item(item_id="b", available=False)


def saved(strings: list[bytes]) -> Ragged:
    return Ragged(np.array([len(one) for one in strings], np.int64), b"".join(strings))


def test_items_come_back_changed_deleted_and_never_described():
    items = Items()
    items[0], items[2] = ONE, OTHER
    assert [items[row] for row in range(4)] == [ONE, None, OTHER, None]
    encoded = items.frozen()
    items[0] = None
    assert items[0] is None
    again = Items(saved([encoded(row) for row in range(3)]))
    assert [again[row] for row in range(4)] == [ONE, None, OTHER, None]
    again[1] = ONE
    assert again[np.int64(1)] == ONE and again[0] == ONE


def test_more_items_than_are_remembered_still_come_back():
    items = Items()
    for row in range(REMEMBERED + 10):
        items[row] = ONE
    assert all(items[row] == ONE for row in range(REMEMBERED + 10))


def test_sets_come_back_and_may_be_changed():
    sets = RowSets()
    sets["x"].update({3, 1})
    sets["y"].add(2)
    again = RowSets(["x", "y", "z"], saved(list(sets.frozen(["x", "y", "z"]))))
    again["y"].discard(2)
    again["z"].add(9)
    assert (again["x"], again["y"], again["z"]) == ({1, 3}, set(), {9})
    assert again.get("nobody", ()) == () and sets["x"] == {1, 3}


def test_sets_that_were_saved_are_found_without_having_been_asked_for_before():
    again = RowSets(["x"], saved([np.array([4, 5], "<i4").tobytes()]))
    assert again.get("x") == {4, 5}


@pytest.mark.parametrize("ids", [["a", "", "item-7"], ["a", "für", "千と千尋", ""], []])
def test_ids_come_back_as_text(ids):
    assert saved([one.encode() for one in ids]).texts() == ids


def test_several_strings_are_cut_out_at_once_long_ones_in_part_and_beyond_the_last_there_are_none():
    strings = [b"one", b"", b"three", b"4"]
    assert saved(strings).beginnings([3, 1, 0, 4, 9, 2], 5, 2) == [b"4", b"", b"one", b"", b"", b"three"]
    assert saved(strings).beginnings([3, 2, 0, 2], 4, 2) == [b"4", b"th", b"one", b"th"]
    assert saved([]).beginnings([0, 5], 5, 2) == [b"", b""]
    assert saved(strings).beginnings([], 5, 2) == []

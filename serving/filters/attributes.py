"""Takes out what the request's `filter` does not describe."""

import numpy as np
from numpy.typing import NDArray

from domain.items import Item
from serving.query import AttributeRange, ItemFilter, Query


def keep(query: Query, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Returns True for what the filter describes; everything if there is none."""
    wanted = query.filter
    if wanted is None:
        return np.ones(len(rows), np.bool_)
    items = query.model.catalogue.items
    return np.array([(item := items[row]) is not None and matches(item, wanted) for row in rows], np.bool_)


def matches(item: Item, wanted: ItemFilter) -> bool:
    """Whether every condition of a filter holds for an item."""
    return (
        _share_one(item.categories, wanted.categories)
        and _share_one(item.tags, wanted.tags)
        and (wanted.price is None or _within(item.price, wanted.price))
        and all(_fits(item.attributes.get(name), one) for name, one in wanted.attributes.items())
        and (wanted.exclude is None or not matches(item, wanted.exclude))
    )


def _share_one(have: list[str], wanted: list[str]) -> bool:
    return not wanted or not set(have).isdisjoint(wanted)


def _within(value: object, bounds: AttributeRange) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return (bounds.min is None or value >= bounds.min) and (bounds.max is None or value <= bounds.max)


def _fits(value: object, wanted: object) -> bool:
    if isinstance(wanted, AttributeRange):
        return _within(value, wanted)
    return value in wanted if isinstance(wanted, list) else value == wanted

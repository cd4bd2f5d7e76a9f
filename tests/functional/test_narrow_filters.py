"""What a request's own filters leave: where that is little, sources look further, and no further than is bounded."""

from time import sleep

import numpy as np
import pytest

from domain.items import Item
from embeddings.transformer import TransformerEncoder
from serving import metrics, pipeline, retrieval
from serving.query import ItemFilter, stored_query
from serving.sources import SOURCES, kind
from tests.builders import START_MS, Deployment, interaction

ITEMS = 600
RARE = ItemFilter(attributes={"shelf": "rare"})
CATEGORY = ItemFilter(categories=["rare"])
MOST = ItemFilter(attributes={"shelf": "common"})
TENTH = ItemFilter(attributes={"tenth": True})


@pytest.fixture(scope="module")
def deployment(encoder: TransformerEncoder) -> Deployment:
    made, films = Deployment(encoder, candidates_per_source=10, source_budget_ms=10_000), []
    for at in range(ITEMS):
        shelf = "rare" if at % 100 == 99 else "common"
        told = {"shelf": shelf, "tenth": at % 10 == 3}
        films.append(Item(item_id=f"i{at}", title=f"Chapter {at}", categories=[shelf], attributes=told, published_at=1))
    made.put_items(*films)
    made.learn(*[interaction(f"u{at % 7}", f"i{at}", at) for at in range(0, ITEMS, 2)])  # nobody touched what is rare
    made.learn(interaction("ann", "i0", ITEMS))
    return made


def asked(deployment: Deployment, count: int = 2, user: str = "ann", **wishes) -> pipeline.Slate:
    query = stored_query(deployment.replica.model, user, count, START_MS + 86_400_000)
    for name, wish in wishes.items():
        setattr(query, name, wish)
    return pipeline.recommend(query)


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What the first source was asked for, each time."""
    found: list[int] = []
    name, retrieve = next(iter(SOURCES.items()))
    monkeypatch.setitem(SOURCES, name, lambda query, limit: found.append(limit) or retrieve(query, limit))
    return found


def test_a_filter_that_one_in_a_hundred_passes_gets_its_page(deployment, limits):
    slate = asked(deployment, filter=RARE)
    rare = deployment.replica.model.catalogue.by_category["rare"]
    assert len(slate.items) == 2 and {one.row for one in slate.items} <= set(rare)
    assert limits[0] == 10 and len(limits) > 1


def test_a_category_is_looked_through_at_once_for_whoever_asks(deployment, limits):
    rare = set(deployment.replica.model.catalogue.by_category["rare"])
    assert {one.row for one in asked(deployment, count=6, filter=CATEGORY).items} == rare
    query = stored_query(deployment.replica.model, "nobody", 6, START_MS + 86_400_000)
    query.filter = CATEGORY
    assert set(kind.retrieve(query, 10)) == rare and len(kind.retrieve(query, 4)) == 4
    assert {one.row for one in pipeline.recommend(query).items} == rare


def test_of_a_category_the_most_popular_come_first_and_what_was_seen_does_not_come(deployment):
    query = stored_query(deployment.replica.model, "ann", 6, START_MS + 86_400_000)
    query.filter = ItemFilter(categories=["common", "common", "unheard of"])
    found, counts = kind.retrieve(query, 300), deployment.replica.model.behaviour.counts(query.now_ms, np.arange(ITEMS))
    assert len({*found.tolist()}) == 300 and (np.diff(counts[found]) <= 0).all() and counts[found[0]] > 0
    assert deployment.replica.model.catalogue.rows["i0"] not in found
    assert "unheard of" not in deployment.replica.model.catalogue.by_category._sets


def test_a_category_too_large_to_be_looked_through_is_left_to_other_sources(deployment, monkeypatch):
    monkeypatch.setattr(kind, "LOOKED_AT", 5)
    query = stored_query(deployment.replica.model, "ann", 6, START_MS + 86_400_000)
    query.filter = CATEGORY
    assert not len(kind.retrieve(query, 10)) and len(pipeline.recommend(query).items) == 6
    query.filter = None
    assert not len(kind.retrieve(query, 10))


@pytest.mark.parametrize("wish", [None, TENTH, MOST], ids=["all", "tenth", "most"])
@pytest.mark.parametrize("user", ["ann", "nobody"])
@pytest.mark.parametrize(
    "order", [{"rotation": 0.3}, {"diversity": 0.5}, {"diversity": 0.8, "explore_share": 0.5}], ids=str
)
def test_pages_are_cut_from_one_order_however_far_one_goes_on(deployment, limits, wish, user, order):
    pages: list[list[int]] = []
    limit, more = 0, True
    while more:
        page = asked(deployment, 10, user, filter=wish, offset=10 * len(pages), limit=limit, **order)
        pages.append([one.row for one in page.items])
        limit, more = page.limit, page.more
    rows = [row for page in pages for row in page]
    assert len(pages) > 4 and len({*rows}) == len(rows) == len(page.rows)
    assert {len(one) for one in pages[:-1]} == {10}
    assert limits[1 - len(pages) :] == [limit] * (len(pages) - 1)  # further pages look once


def test_without_looking_further_it_would_not(deployment, monkeypatch):
    monkeypatch.setattr(retrieval, "WIDEST", 10)
    assert len(asked(deployment, filter=RARE).items) < 2


def test_what_is_told_and_counted_is_of_the_look_that_the_slate_came_from(deployment, limits):
    counted = metrics.removed.labels("attributes")
    before = counted._value.get()
    slate = asked(deployment, filter=RARE)
    assert len(limits) > 1
    assert slate.removed["attributes"] == counted._value.get() - before == ITEMS - 1 - len(slate.rows)  # ann saw one


@pytest.mark.parametrize("at", range(2))
def test_what_a_further_look_has_no_time_for_takes_nothing_away(deployment, limits, monkeypatch, at):
    model = deployment.replica.model
    monkeypatch.setattr(model, "settings", model.settings.model_copy(update={"source_budget_ms": 300.0}))
    name, retrieve = list(SOURCES.items())[at]

    def slower(query, limit):
        if limit > 10:
            sleep(0.35)
        return retrieve(query, limit)

    full = asked(deployment, filter=TENTH, count=1)
    with monkeypatch.context() as once:
        once.setattr(retrieval, "WIDEST", 10)
        least = asked(deployment, filter=TENTH, count=1)
    monkeypatch.setitem(SOURCES, name, slower)
    limits.clear()
    slate = asked(deployment, filter=TENTH, count=1)
    assert slate.degraded == [] and len(slate.items) == 1
    assert limits == [10, full.limit] and 0 < len(least.rows) <= len(slate.rows) < len(full.rows)


def test_whose_time_is_up_nothing_is_looked_for_further(deployment, limits, monkeypatch):
    model = deployment.replica.model
    monkeypatch.setattr(model, "settings", model.settings.model_copy(update={"source_budget_ms": 0.0}))
    asked(deployment, filter=RARE)
    assert limits == [10]


def test_a_request_that_excludes_what_was_found_is_looked_further_for_too(deployment, limits):
    first = asked(deployment, count=40)
    ids = deployment.replica.model.catalogue.ids
    shown = frozenset(ids[row] for row in first.rows.tolist())
    limits.clear()
    slate = asked(deployment, exclude=shown)
    assert len(slate.items) == 2 and not shown & {ids[one.row] for one in slate.items}
    assert len(limits) > 1


def test_a_request_without_a_filter_asks_once(deployment, limits):
    assert len(asked(deployment).items) == 2
    assert limits == [10]


def test_nobody_looks_further_than_the_widest(deployment, limits, monkeypatch):
    monkeypatch.setattr(retrieval, "WIDEST", 100)
    asked(deployment, filter=ItemFilter(attributes={"shelf": "nowhere"}))
    assert limits == [10, 100]

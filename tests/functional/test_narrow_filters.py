"""What a request's own filters leave: where that is little, sources look further, and no further than is bounded."""

import numpy as np
import pytest

from domain.items import Item
from embeddings.transformer import TransformerEncoder
from serving import pipeline
from serving.query import ItemFilter, stored_query
from serving.sources import SOURCES, kind
from tests.builders import START_MS, Deployment, interaction

ITEMS = 600
RARE = ItemFilter(attributes={"shelf": "rare"})
CATEGORY = ItemFilter(categories=["rare"])


@pytest.fixture(scope="module")
def deployment(encoder: TransformerEncoder) -> Deployment:
    made = Deployment(encoder, candidates_per_source=10)
    shelves = ("rare" if at % 100 == 99 else "common" for at in range(ITEMS))
    made.put_items(
        *[
            Item(
                item_id=f"i{at}", title=f"Chapter {at}", categories=[shelf], attributes={"shelf": shelf}, published_at=1
            )
            for at, shelf in enumerate(shelves)
        ]
    )
    made.learn(*[interaction(f"u{at % 7}", f"i{at}", at) for at in range(0, ITEMS, 2)])  # nobody touched what is rare
    made.learn(interaction("ann", "i0", ITEMS))
    return made


def asked(deployment: Deployment, count: int = 2, **wishes) -> pipeline.Slate:
    query = stored_query(deployment.replica.model, "ann", count, START_MS + 86_400_000)
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


def test_pages_under_a_filter_follow_each_other_without_gaps_or_repeats(deployment):
    pages = [asked(deployment, filter=RARE, offset=offset) for offset in (0, 2, 4)]
    rows = [one.row for page in pages for one in page.items]
    assert sorted(rows) == sorted(deployment.replica.model.catalogue.by_category["rare"])
    assert [page.more for page in pages] == [True, True, False]


def test_without_looking_further_it_would_not(deployment, monkeypatch):
    monkeypatch.setattr(pipeline, "WIDEST", 10)
    assert len(asked(deployment, filter=RARE).items) < 2


def test_what_was_removed_is_told_of_the_last_look_alone(deployment):
    slate = asked(deployment, filter=ItemFilter(attributes={"shelf": "nowhere"}))
    assert not slate.items and slate.removed["attributes"] <= ITEMS


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
    monkeypatch.setattr(pipeline, "WIDEST", 100)
    asked(deployment, filter=ItemFilter(attributes={"shelf": "nowhere"}))
    assert limits == [10, 100]

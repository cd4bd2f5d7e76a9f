"""Features say what they are named for, are finite for anybody, and are cold-start zeros where nothing is known."""

import numpy as np
import pytest

from domain.items import Item
from learning.signals import ONCE
from serving.covisits import HORIZONS
from serving.features import FAMILIES, NAMES, matrix
from serving.numbering import Numbering
from serving.pipeline import recommend
from serving.query import stored_query
from serving.read_model import ReadModel
from serving.reasons import explain
from serving.sources.covisitation import strongest
from serving.sources.merging import Rankings, in_turn
from tests.builders import Deployment, interaction

FILMS = {"alien": "Horror", "aliens": "Horror", "amelie": "Romance", "titanic": "Romance", "heat": "Crime"}


@pytest.fixture(scope="module")
def deployment(encoder) -> Deployment:
    made = Deployment(encoder)
    made.put_items(*[Item(item_id=i, title=i, categories=[c], published_at=1) for i, c in FILMS.items()])
    made.learn(
        *[interaction(f"u{n}", item, n * 10 + at) for n in range(4) for at, item in enumerate(("alien", "heat"))]
    )
    made.learn(interaction("ann", "alien", 50), interaction("bob", "alien", 60), interaction("bob", "amelie", 70))
    return made


def features(deployment: Deployment, user: str, model: ReadModel | None = None) -> dict[str, dict[str, float]]:
    query = stored_query(model or deployment.replica.model, user, 10, deployment.now_ms)
    catalogue = deployment.replica.model.catalogue
    found = matrix(query, np.arange(len(catalogue)))
    assert found.shape == (len(NAMES), len(catalogue)) and np.isfinite(found).all()
    return {name: dict(zip(catalogue.ids, row.tolist(), strict=True)) for name, row in zip(NAMES, found, strict=True)}


def test_what_came_after_is_after_and_what_came_before_is_before(deployment):
    ann = features(deployment, "ann")
    assert ann["after_sitting"]["heat"] > ann["after_sitting"]["amelie"] > ann["after_sitting"]["aliens"] == 0
    bob = features(deployment, "bob")
    assert bob["before_last"]["alien"] > 0 and bob["after_last"]["alien"] == 0


def test_popularity_is_of_all_and_of_those_at_the_same_stage(deployment):
    stranger, ann = features(deployment, "nobody"), features(deployment, "ann")
    assert max(stranger["popularity_days"], key=stranger["popularity_days"].get) == "alien"
    assert max(stranger["popularity_stage"], key=stranger["popularity_stage"].get) == "alien"
    assert max(ann["popularity_stage"], key=ann["popularity_stage"].get) == "heat"


def test_the_kind_and_the_text_of_what_was_liked_speak_for_the_like(deployment):
    ann = features(deployment, "ann")
    assert ann["category_recent"]["aliens"] == pytest.approx(1) and ann["category_recent"]["heat"] == 0
    assert ann["text_interest"]["aliens"] > ann["text_interest"]["heat"]


def test_a_new_item_reads_like_what_others_went_on_to(encoder):
    films = ["alien", "aliens", "love in Paris", "a kiss in Paris", "bank robbery", "the great bank robbery"]
    made = Deployment(encoder)
    made.put_items(*[Item(item_id=one, title=one, published_at=1) for one in films])
    made.learn(*[interaction(f"u{n}", one, n * 10 + at) for n in range(9) for at, one in enumerate(films[0:5:4])])
    made.learn(interaction("ann", "alien", 200))
    ann = features(made, "ann")
    expected, recent = ann["text_expected"], ann["text_recent"]
    assert expected["the great bank robbery"] > max(expected["aliens"], expected["a kiss in Paris"])
    assert recent["aliens"] > recent["the great bank robbery"]
    without = features(made, "ann", made.replica.model.without(["covisitation"]))
    assert not any(without["text_expected"].values()) and without["text_recent"] == recent
    query = stored_query(made.replica.model, "ann", 10, made.now_ms)
    row = made.replica.model.catalogue.rows["the great bank robbery"]
    assert explain(query, np.array([row]), [{"profile": 1.0}])[0][1] == [
        "similar to bank robbery, which others chose with alien"
    ]
    row = made.replica.model.catalogue.rows["a kiss in Paris"]
    assert explain(query, np.array([row]), [{"profile": 1.0}])[0][1] == ["in the catalogue"]


def test_what_all_texts_have_in_common_says_nothing(deployment):
    ann = features(deployment, "ann")
    for name in ("text_recent", "text_history", "text_expected"):
        assert sum(ann[name].values()) == pytest.approx(0, abs=1e-5) and any(ann[name].values())


def test_an_item_without_a_text_stands_in_the_middle(encoder):
    made = Deployment(encoder)
    made.put_items(*[Item(item_id=one, title=one, published_at=1) for one in FILMS], Item(item_id="blank"))
    made.learn(interaction("ann", "alien", 1), interaction("ann", "heat", 2))
    told = features(made, "ann")
    for name in FAMILIES["profile"][0]:
        assert told[name]["blank"] == 0


def test_a_stranger_has_no_features_of_a_history(deployment):
    stranger = features(deployment, "nobody")
    for name in (*FAMILIES["covisitation"][0], *FAMILIES["profile"][0], *FAMILIES["kind"][0], "sequence"):
        assert not any(stranger[name].values()), name


def test_nobody_has_touched_what_is_new(deployment):
    assert [item for item, value in features(deployment, "ann")["untouched"].items() if value] == ["aliens", "titanic"]


def test_the_parts_of_a_score_add_up_to_it(deployment):
    slate = recommend(stored_query(deployment.replica.model, "ann", 10, deployment.now_ms))
    assert slate.items
    for one in slate.items:
        assert sum(one.parts.values()) == pytest.approx(one.score, abs=1e-5) and set(one.parts) == set(FAMILIES)


def test_a_disabled_family_says_nothing(encoder):
    deployment = Deployment(encoder, disabled=["popularity"])
    deployment.put_items(Item(item_id="a", title="a"), Item(item_id="b", title="b"))
    deployment.learn(interaction("u", "a"))
    assert not any(any(features(deployment, "x")[name].values()) for name in FAMILIES["popularity"][0])


def test_rankings_are_merged_in_turn():
    numbering, rows, lengths = Numbering(7), np.array([1, 2, 3, 2, 4, 6, 5]), np.array([3, 3, 0, 1])
    every, some = np.ones(7, np.bool_), np.array([1, 0, 1, 0, 1, 0, 1], np.bool_)
    assert in_turn(Rankings(rows, lengths, every), 9, 9, numbering).tolist() == [1, 2, 5, 4, 3, 6]
    assert in_turn(Rankings(rows, lengths, every), 9, 4, numbering).tolist() == [1, 2, 5, 4]
    assert in_turn(Rankings(rows, lengths, every), 1, 4, numbering).tolist() == [1, 2, 5]
    assert in_turn(Rankings(rows, lengths, some), 9, 9, numbering).tolist() == [1, 4, 5, 3]
    assert in_turn(Rankings(rows[:0], lengths[:0], every[:0]), 5, 5, numbering).tolist() == []


def test_the_strongest_are_those_of_the_highest_strength_and_the_lowest_hash_wherever_they_lie():
    chance = np.random.default_rng(3)
    for limit in (1, 7, 30, 300):
        lists, wanted = chance.integers(0, 12, (3, 200)).astype(np.float32), chance.random(200) < 0.9
        lists[2, 30:] = 0
        tie = chance.permutation(200).astype(np.uint32)
        best = [np.lexsort((tie, -one)).tolist() for one in lists]
        expected = {at for one, order in zip(lists, best, strict=True) for at in _first(one, order, wanted, limit)}
        assert set(np.flatnonzero(strongest(lists, wanted, tie, limit)).tolist()) == expected


def _first(strengths, order, wanted, limit):
    return [at for at in order if strengths[at] > 0 and wanted[at]][:limit]


def test_sources_that_are_late_are_named_and_never_leave_the_slate_empty(deployment):
    deployment.learn(*[interaction(f"u{n}", "heat", n) for n in range(5)])
    model = deployment.replica.model
    model.settings = model.settings.model_copy(update={"source_budget_ms": 0})
    slate = recommend(stored_query(model, "nobody", 10, deployment.now_ms))
    assert slate.items
    assert slate.degraded == ["fresh: late"]  # popularity was the first to find something


def test_covisits_are_the_sums_over_all_links_of_the_recent_items(deployment):
    query = stored_query(deployment.replica.model, "bob", 10, deployment.now_ms)
    behaviour, rows = query.model.behaviour, np.arange(len(query.model.catalogue))
    found = query.covisits.of(rows, query.model.catalogue.numbering)
    for strengths, links in zip(found[::2], (behaviour.successors, behaviour.predecessors), strict=True):
        for column, (decay, length) in enumerate(HORIZONS):
            plain = np.zeros(len(rows))
            for lag, at in enumerate(query.recent[:length]):
                changes, _ = links([int(query.rows[at])])
                np.add.at(plain, changes[:, 0], decay**lag * changes[:, 1] / ONCE)
            assert strengths[column] == pytest.approx(plain, rel=1e-6)
            assert plain.any()

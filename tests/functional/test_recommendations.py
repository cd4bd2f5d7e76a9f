"""The request path over HTTP, in memory: what the worker's functions learn, the API answers with."""

import httpx
import pytest

from domain.items import Item
from embeddings.transformer import TransformerEncoder
from serving.app import create_app
from serving.pipeline import recommend
from serving.query import stored_query
from serving.side_effects.exposures import exposure_of
from tests.builders import START_MS, Deployment, interaction

pytestmark = pytest.mark.anyio

FILMS = {
    "alien": ("Alien, a horror film about a spaceship crew and a monster", "Horror"),
    "aliens": ("Aliens, marines fight monsters on a distant planet", "Horror"),
    "predator": ("Predator, soldiers are hunted by a monster in the jungle", "Horror"),
    "amelie": ("Amelie, a romantic comedy about a shy waitress in Paris", "Romance"),
    "notting": ("Notting Hill, a romantic comedy about a bookseller and an actress", "Romance"),
    "titanic": ("Titanic, a love story aboard a sinking ocean liner", "Romance"),
    "heat": ("Heat, a detective hunts a crew of bank robbers", "Crime"),
    "casino": ("Casino, greed and murder among Las Vegas gamblers", "Crime"),
}


@pytest.fixture
def deployment(encoder: TransformerEncoder) -> Deployment:
    made = Deployment(encoder)
    made.put_items(*[Item(item_id=i, title=t, categories=[c], published_at=1) for i, (t, c) in FILMS.items()])
    return made


async def get(deployment: Deployment, path: str, **params) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(deployment.replica), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.get(path, params=params)


async def post(deployment: Deployment, body: object, path: str = "/v1/recommendations") -> httpx.Response:
    transport = httpx.ASGITransport(create_app(deployment.replica), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        return await client.post(path, json=body)


async def slate(deployment: Deployment, user: str, **params) -> dict:
    answer = await get(deployment, f"/v1/users/{user}/recommendations", **params)
    assert answer.status_code == 200, answer.text
    return answer.json()


def ids(told: dict) -> list[str]:
    return [item["item_id"] for item in told["items"]]


async def test_an_unknown_user_gets_a_named_fallback_and_never_an_error(deployment):
    deployment.learn(*[interaction(f"u{n}", "heat", n) for n in range(5)], interaction("u9", "alien", 9))
    told = await slate(deployment, "nobody")
    assert told["fallback"] == "trending"
    assert ids(told)[0] == "heat"
    assert told["profile"] == {"as_of": None, "interactions": 0}


async def test_before_anybody_did_anything_the_newest_items_are_shown(deployment):
    deployment.put_items(Item(item_id="new", title="A new film", published_at=START_MS))
    assert ids(await slate(deployment, "nobody"))[0] == "new"


async def test_one_click_changes_the_slate(deployment):
    deployment.learn(*[interaction(f"u{n}", "heat", n) for n in range(5)])
    before = await slate(deployment, "ann")
    deployment.learn(interaction("ann", "amelie", 60))
    after = await slate(deployment, "ann")
    assert ids(before) != ids(after)
    assert after["fallback"] is None and after["profile"]["interactions"] == 1
    assert "amelie" not in ids(after)
    assert set(ids(after)[:2]) & {"notting", "titanic"}


async def test_what_others_went_on_to_leads(deployment):
    for n in range(4):
        deployment.learn(interaction(f"u{n}", "amelie", n * 2), interaction(f"u{n}", "casino", n * 2 + 1))
    deployment.learn(interaction("ann", "amelie", 60))
    first = (await slate(deployment, "ann"))["items"][0]
    assert first["item_id"] == "casino" and first["source"] == "covisitation"
    assert first["reasons"][0] == f"because you clicked {FILMS['amelie'][0]}"


async def test_a_new_item_is_recommended_by_its_text_alone(deployment):
    deployment.learn(interaction("ann", "alien", 1), interaction("ann", "aliens", 2))
    deployment.put_items(
        Item(
            item_id="covenant",
            title="Alien Covenant, a spaceship crew meets a monster on a planet",
            categories=["Horror"],
        )
    )
    told = await slate(deployment, "ann")
    assert ids(told)[0] == "covenant"
    assert any(reason.startswith("similar to Alien") for reason in told["items"][0]["reasons"])
    assert "new today" in told["items"][0]["reasons"]


async def test_a_deleted_item_disappears(deployment):
    deployment.learn(*[interaction(f"u{n}", "heat", n) for n in range(5)])
    deployment.delete_item("heat")
    told = await slate(deployment, "nobody")
    assert "heat" not in ids(told) and told["removed"]["unavailable"] == 1
    assert (await get(deployment, "/v1/items/heat/similar")).status_code == 404


async def test_a_profile_heals_when_a_late_item_is_described(deployment):
    deployment.learn(interaction("ann", "late", 1))
    assert (await get(deployment, "/v1/users/ann/profile")).json()["interests"] == 0
    deployment.put_items(Item(item_id="late", title="A romantic comedy about love in Paris", published_at=1))
    healed = (await get(deployment, "/v1/users/ann/profile")).json()
    assert healed["interests"] == 1 and healed["history"][0]["title"].startswith("A romantic")
    assert ids(await slate(deployment, "ann"))[0] in {"amelie", "notting"}


@pytest.mark.parametrize(
    ("change", "removed"),
    [
        ({"available": False}, "unavailable"),
        ({"expires_at": START_MS}, "expired"),
        ({"published_at": START_MS * 2}, "expired"),
    ],
)
async def test_what_cannot_be_had_now_is_not_shown_and_is_counted(deployment, change, removed):
    deployment.learn(interaction("u", "heat", 1))
    deployment.put_items(Item(**{"item_id": "heat", "title": "Heat", "published_at": 1} | change))
    told = await slate(deployment, "nobody")
    assert "heat" not in ids(told) and told["removed"] == {removed: 1}


async def test_an_empty_answer_says_which_filter_removed_how_many(deployment):
    deployment.learn(*[interaction("ann", item, n) for n, item in enumerate(FILMS)])
    told = await slate(deployment, "ann")
    assert told["items"] == [] and told["removed"] == {"already_seen": len(FILMS)}


async def test_a_view_is_not_seen_for_good_and_a_hide_is(deployment):
    deployment.learn(interaction("ann", "heat", 1, type="view"), interaction("ann", "casino", 2, type="hide"))
    told = await slate(deployment, "ann")
    assert "heat" in ids(told) and "casino" not in ids(told)


async def test_a_dislike_pushes_its_likes_away(deployment):
    deployment.learn(interaction("ann", "alien", 1), interaction("ann", "amelie", 2))
    liked = ids(await slate(deployment, "ann"))
    deployment.learn(interaction("ann", "predator", 3, type="dislike"))
    after = ids(await slate(deployment, "ann"))
    assert after.index("aliens") - liked.index("aliens") >= 0
    assert after.index("aliens") > after.index("notting")


async def test_a_filter_is_bounded(deployment):
    inner = {"exclude": {"exclude": {"categories": ["Crime"]}}}
    for body in ({"filter": inner}, {"boost": [{"filter": inner, "factor": 2}]}):
        assert "may not have an `exclude`" in (await refused(deployment, body))
    assert "64" in await refused(deployment, {"filter": {"attributes": {"year": [*range(65)]}}})


async def refused(deployment: Deployment, body: dict) -> str:
    answer = await post(deployment, body)
    assert answer.status_code == 400
    return answer.json()["detail"]


async def test_filter_exclude_boost_and_history_of_a_post_are_honoured(deployment):
    deployment.learn(*[interaction(f"u{n}", item, n) for n, item in enumerate(FILMS)])
    only = (await post(deployment, {"filter": {"categories": ["Crime"]}})).json()
    assert set(ids(only)) == {"heat", "casino"}
    without = (await post(deployment, {"exclude": ["heat"], "filter": {"exclude": {"categories": ["Horror"]}}})).json()
    assert set(ids(without)) == {"casino", "amelie", "notting", "titanic"}
    boosted = (await post(deployment, {"boost": [{"filter": {"categories": ["Romance"]}, "factor": 50}]})).json()
    assert set(ids(boosted)[:3]) == {"amelie", "notting", "titanic"}
    brought = (await post(deployment, {"history": [{"item_id": "alien", "type": "like"}]})).json()
    assert brought["profile"]["interactions"] == 1 and "alien" not in ids(brought)
    assert brought["items"][0]["item_id"] in {"aliens", "predator"}


async def test_pages_follow_each_other_without_gaps_or_repeats(deployment):
    deployment.learn(*[interaction(f"u{n}", item, n) for n, item in enumerate(FILMS)])
    whole = ids(await slate(deployment, "nobody", count=8))
    first = await slate(deployment, "nobody", count=3)
    second = await slate(deployment, "nobody", count=3, cursor=first["next_cursor"])
    third = await slate(deployment, "nobody", count=3, cursor=second["next_cursor"])
    assert ids(first) + ids(second) + ids(third) == whole
    assert [item["rank"] for item in second["items"]] == [3, 4, 5]
    assert third["next_cursor"] is None


async def test_parts_add_up_to_the_score_and_every_item_has_a_reason(deployment):
    deployment.learn(*[interaction(f"u{n % 3}", item, n) for n, item in enumerate(FILMS)])
    told = await slate(deployment, "u1", explain=True)
    assert told["items"]
    for item in told["items"]:
        assert item["score"] == pytest.approx(sum(item["parts"].values()), abs=1e-4)
        assert item["reasons"] and all(item["reasons"])


async def test_diversity_mixes_what_relevance_alone_would_not(deployment):
    deployment.learn(interaction("ann", "alien", 1))
    body = {"user_id": "ann", "count": 3}
    alike = ids((await post(deployment, body | {"diversity": 0})).json())
    mixed = ids((await post(deployment, body | {"diversity": 1})).json())
    kinds = {FILMS[one][1] for one in alike}, {FILMS[one][1] for one in mixed}
    assert alike[0] == mixed[0] and len(kinds[1]) >= len(kinds[0])


async def test_a_failing_source_degrades_the_answer_visibly(deployment, monkeypatch):
    from serving.sources import SOURCES

    def broken(query, limit):
        raise RuntimeError("out of order")

    monkeypatch.setitem(SOURCES, "profile", broken)
    deployment.learn(interaction("ann", "alien", 1), interaction("u", "heat", 2))
    told = await slate(deployment, "ann")
    assert told["degraded"] == ["profile: failed"] and told["items"]


async def test_the_same_log_gives_the_same_slates(deployment, encoder):
    events = [interaction(f"u{n % 3}", item, n) for n, item in enumerate(list(FILMS) * 2)]
    deployment.learn(*events)
    other = Deployment(encoder)
    other.learn(*events)
    items = [Item(item_id=i, title=t, categories=[c], published_at=1) for i, (t, c) in FILMS.items()]
    other.put_items(*reversed(items))
    for user in ("u0", "u1", "u2", "nobody"):
        one, two = await slate(deployment, user), await slate(other, user)
        assert one["items"] == two["items"]


async def test_after_waits_and_says_when_it_waited_in_vain(deployment):
    from domain.positions import Position, to_token

    deployment.learn(interaction("ann", "alien", 1))
    reached = await slate(deployment, "ann", after=to_token(Position(0, 0)))
    missed = await slate(deployment, "ann", after=to_token(Position(0, 5)), wait_ms=20)
    assert reached["fresh"] is True and missed["fresh"] is False and missed["items"]


@pytest.mark.parametrize(
    ("path", "params", "status", "says"),
    [
        ("/v1/users/a/recommendations", {"count": 0}, 400, "count: between 1 and 200"),
        ("/v1/users/a/recommendations", {"count": "many"}, 400, "count"),
        ("/v1/users/a/recommendations", {"after": "nonsense"}, 400, "after: 'nonsense'"),
        ("/v1/users/a/recommendations", {"cursor": "nonsense"}, 400, "cursor: 'nonsense'"),
        (f"/v1/users/{'x' * 129}/recommendations", {}, 400, "user_id: an id has 1 to 128"),
        ("/v1/items/nothing/similar", {}, 404, "'nothing' is not in the catalogue"),
        ("/v1/search", {"q": " "}, 400, "q: between 1 and 1000"),
        ("/v1/search", {}, 400, "q"),
        ("/v1/nowhere", {}, 404, "Not Found"),
    ],
)
async def test_nonsense_is_answered_with_a_problem_that_names_it(deployment, path, params, status, says):
    answer = await get(deployment, path, **params)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status and says in answer.json()["detail"]


async def test_search_and_similar_find_by_meaning(deployment):
    found = (await get(deployment, "/v1/search", q="a love story in France", count=2)).json()
    assert found["items"][0]["item_id"] == "amelie"
    near = (await get(deployment, "/v1/items/alien/similar", count=2)).json()
    assert {item["item_id"] for item in near["items"]} == {"aliens", "predator"}


async def test_what_cannot_be_shown_hides_nothing_that_can(deployment):
    aliens = [Item(item_id=f"alien-{n}", title="Alien", available=False, published_at=1) for n in range(20)]
    deployment.put_items(*aliens)
    deployment.learn(*[interaction(f"u{n}", f"alien-{n}", n) for n in range(20)], interaction("w", "heat", 1))
    near = (await get(deployment, "/v1/items/alien/similar", count=2)).json()
    assert {item["item_id"] for item in near["items"]} == {"aliens", "predator"}
    assert ids((await get(deployment, "/v1/items/trending", count=1)).json()) == ["heat"]


async def test_trending_follows_the_newest_clicks_and_the_category(deployment):
    day = 86_400
    deployment.learn(*[interaction(f"u{n}", "heat", n) for n in range(4)])
    deployment.learn(*[interaction(f"v{n}", "casino", 30 * day + n) for n in range(2)], interaction("w", "alien", 5))
    assert ids((await get(deployment, "/v1/items/trending")).json())[:2] == ["casino", "heat"]
    assert ids((await get(deployment, "/v1/items/trending", category="Horror")).json()) == ["alien"]
    assert ids((await get(deployment, "/v1/items/trending", category="Nothing")).json()) == []


async def test_the_openapi_document_describes_every_struct_it_refers_to(deployment):
    document = (await get(deployment, "/openapi.json")).json()
    referred = {
        part.split('"')[0] for part in httpx.Response(200, json=document).text.split("#/components/schemas/")[1:]
    }
    assert referred <= document["components"]["schemas"].keys()
    assert "example" in document["paths"]["/v1/recommendations"]["post"]["requestBody"]["content"]["application/json"]


async def test_ids_with_a_slash_are_as_good_as_others(deployment):
    deployment.put_items(Item(item_id="films/heat", title="Heat", published_at=1))
    deployment.learn(interaction("team/ann", "films/heat", 1))
    assert (await slate(deployment, "team/ann"))["profile"]["interactions"] == 1
    assert (await get(deployment, "/v1/users/team%2Fann/profile")).json()["user_id"] == "team/ann"
    assert (await get(deployment, "/v1/items/films%2Fheat/similar")).status_code == 200


async def test_explored_slots_go_on_record_with_the_propensities_of_the_slate(encoder):
    deployment = Deployment(encoder, explore_share=0.25, explore_policy="epsilon")
    items = [Item(item_id=f"i{n}", title=f"film {n}", categories=["c"], published_at=1) for n in range(40)]
    deployment.put_items(*items)
    deployment.learn(*[interaction(f"u{n}", f"i{n % 12}", n) for n in range(60)])
    explored = 0
    for user in range(40):
        query = stored_query(deployment.replica.model, f"guest-{user}", 8, deployment.now_ms)
        exposure = exposure_of("r", query, recommend(query), None)
        assert len({one.item_id for one in exposure.items}) == 8
        drawn = [one for one in exposure.items if one.explored]
        assert len(drawn) == 2 and all(0 < one.propensity < 1 for one in drawn)
        assert all(one.propensity == 1 for one in exposure.items[:4])
        explored += sum(one.source == "exploration" for one in exposure.items)
    assert explored == 80

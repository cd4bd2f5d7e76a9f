"""What one request may wish for: exploration, and an answer without some parts, for comparisons."""

import msgspec
import pytest

from domain.items import Item
from domain.models import Manifest
from embeddings.transformer import TransformerEncoder
from learning.ranker import Ranker
from serving.features import FAMILIES, NAMES
from serving.models import LoadedModel
from serving.requests import RecommendRequest
from tests.builders import Deployment, interaction
from tests.functional.test_recommendations import FILMS, ids, post, slate

pytestmark = pytest.mark.anyio


@pytest.fixture
def deployment(encoder: TransformerEncoder) -> Deployment:
    made = Deployment(encoder)
    made.put_items(*[Item(item_id=i, title=t, categories=[c], published_at=1) for i, (t, c) in FILMS.items()])
    made.learn(*[interaction(f"u{n}", item, n) for n, item in enumerate(["heat", "casino", "titanic", "heat"])])
    made.learn(interaction("ann", "alien", 9))
    return made


async def wished(deployment: Deployment, **wishes) -> dict:
    answer = await post(deployment, {"user_id": "ann", "count": 4, "explain": True, **wishes})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_what_is_left_out_adds_nothing_and_the_answer_names_the_variant(deployment):
    told = await wished(deployment, without=["profile", "popularity"])
    assert told["variant"] == "default.without.popularity.profile"
    assert all(item["parts"]["profile"] == item["parts"]["popularity"] == 0 for item in told["items"])
    usual = await wished(deployment)
    assert usual["variant"] == "default"
    assert any(item["parts"]["profile"] for item in usual["items"])


async def test_without_what_the_ranker_learned_its_prior_answers(deployment):
    before = ids(await slate(deployment, "ann"))
    turned = Ranker(NAMES)
    turned._weights *= -1
    manifest = Manifest(name="ranker", version="v1", chunks=1, sha256="", bytes=1, created_ms=1)
    deployment.replica.model.models._loaded["ranker"] = LoadedModel(turned, manifest)
    assert ids(await slate(deployment, "ann")) != before
    assert ids(await wished(deployment, without=["ranker"], count=10)) == before
    assert ids(await slate(deployment, "ann")) != before  # the view was of that request alone


async def test_exploration_can_be_wished_for_and_its_chances_go_on_record(deployment):
    told = await wished(deployment, explore=0.5)
    assert [item["source"] for item in told["items"]].count("exploration") == 2
    assert "exploration" not in {item["source"] for item in (await wished(deployment))["items"]}
    noted = [deployment.replica.exposures._queue.get_nowait() for _ in range(2)]
    assert {one.propensity for one in noted[0].items} != {1.0} == {one.propensity for one in noted[1].items}


@pytest.mark.parametrize("wish", [{"explore": 0.6}, {"explore": -0.1}, {"without": ["filters"]}, {"without": "kind"}])
async def test_what_cannot_be_wished_for_is_refused_by_name(deployment, wish):
    refused = await post(deployment, {"user_id": "ann", **wish})
    assert refused.status_code == 400
    assert next(iter(wish)) in refused.json()["detail"]


def test_every_family_of_features_can_be_left_out_and_the_document_says_so():
    _, found = msgspec.json.schema_components([RecommendRequest])
    wishes = found["RecommendRequest"]["properties"]
    assert set(wishes["without"]["items"]["enum"]) == {*FAMILIES, "ranker"}
    assert wishes["explore"]["anyOf"][0] == {"type": "number", "minimum": 0, "maximum": 0.5}

"""Whatever comes in, the answer is a slate, a refusal or a problem document; never a 500."""

import asyncio
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.items import Item
from embeddings.transformer import TransformerEncoder
from serving.app import create_app
from tests.builders import Deployment, interaction

FIELDS = (
    *("user_id", "count", "scenario", "explain", "history", "filter", "boost", "exclude", "diversity"),
    *("rotation", "context", "cursor", "after", "wait_ms", "unheard_of"),
)
PLAUSIBLE = st.sampled_from(
    [
        {"categories": ["A"]},
        {"attributes": {"year": {"min": 1990}, "lang": ["en", None]}},
        {"price": {"max": 1e308}, "exclude": {"tags": ["x"]}},
        [{"item_id": "i1", "type": "like"}, {"item_id": "gone", "value": -1e300}],
        [{"filter": {"categories": ["A"]}, "factor": 3.5}],
        "ZnJvbS4xLjE1MA",
        "MC4w",
    ]
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
    | PLAUSIBLE,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@pytest.fixture(scope="module")
def client(encoder: TransformerEncoder) -> httpx.AsyncClient:
    deployment = Deployment(encoder, max_wait_ms=1, intake_timeout_ms=100, bootstrap_servers="127.0.0.1:1")
    deployment.put_items(*[Item(item_id=f"i{n}", title=f"Item {n}", categories=["A"], price=n) for n in range(5)])
    deployment.learn(*[interaction(f"u{n % 2}", f"i{n}", n) for n in range(4)])
    transport = httpx.ASGITransport(create_app(deployment.replica), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


def holds(answer: httpx.Response) -> None:
    assert answer.status_code in {200, 400, 401, 404, 405, 413, 503}, answer.text
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == answer.status_code and answer.json()["detail"]


@settings(max_examples=400)
@given(body=st.dictionaries(st.sampled_from(FIELDS), ANYTHING, max_size=6) | ANYTHING)
def test_any_body_of_a_recommendation_request_is_answered(client: httpx.AsyncClient, body: object):
    holds(asyncio.run(client.post("/v1/recommendations", json=body)))


@settings(max_examples=200)
@given(
    user=st.text(min_size=1, max_size=200),
    params=st.dictionaries(st.sampled_from(["count", "cursor", "after", "wait_ms", "scenario", "explain"]), st.text()),
)
def test_any_path_and_query_is_answered(client: httpx.AsyncClient, user: str, params: dict[str, str]):
    path = quote(user.encode("utf-8", "surrogatepass"), safe="")
    for route in (f"/v1/users/{path}/recommendations", f"/v1/users/{path}/profile", f"/v1/items/{path}/similar"):
        holds(asyncio.run(client.get(route, params=params)))


@settings(max_examples=200)
@given(raw=st.binary(max_size=200), route=st.sampled_from(["events", "items", "users", "recommendations"]))
def test_any_bytes_are_answered(client: httpx.AsyncClient, raw: bytes, route: str):
    holds(asyncio.run(client.post(f"/v1/{route}", content=raw)))

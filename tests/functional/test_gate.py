"""What every request passes first: keys, bounds, and problems instead of traces."""

import httpx
import pytest

from domain.errors import ConfigError
from embeddings.transformer import TransformerEncoder
from serving.app import create_app
from tests.builders import Deployment

pytestmark = pytest.mark.anyio
KEY = "0123456789abcdef"


def client_of(deployment: Deployment) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(deployment.replica), raise_app_exceptions=False)
    return httpx.AsyncClient(transport=transport, base_url="http://test")


async def test_with_keys_set_only_health_and_the_page_are_open(encoder: TransformerEncoder):
    async with client_of(Deployment(encoder, api_keys=[KEY])) as client:
        for path in (
            "/v1/users/a/recommendations",
            "/metrics",
            "/docs",
            "/openapi.json",
            "/v1/items/trending",
            "/v1/live",
        ):
            refused = await client.get(path)
            assert refused.status_code == 401 and refused.json()["status"] == 401, path
            assert (await client.get(path, headers={"X-API-Key": "wrong-wrong-wrong"})).status_code == 401
        for headers in ({"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}):
            assert (await client.get("/v1/users/a/recommendations", headers=headers)).status_code == 200
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/health/ready")).status_code == 503  # nothing followed yet
        for page in ("/ui", "/ui/live", "/ui/live.js", "/ui/base.css"):
            assert (await client.get(page)).status_code == 200


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org"])  # noqa: S104
def test_binding_to_the_network_without_keys_is_refused_with_the_remedy(encoder: TransformerEncoder, host: str):
    with pytest.raises(ConfigError, match=f"FRESHET_HOST={host}.*FRESHET_API_KEYS"):
        create_app(Deployment(encoder, host=host).replica)
    create_app(Deployment(encoder, host=host, api_keys=[KEY]).replica)
    with pytest.raises(ConfigError, match="at least 16"):
        create_app(Deployment(encoder, host=host, api_keys=["short"]).replica)


async def test_a_body_that_is_too_large_is_refused_however_it_comes(encoder: TransformerEncoder):
    async with client_of(Deployment(encoder, max_body_bytes=2000)) as client:
        assert (await client.post("/v1/events", content=b"x" * 3000)).status_code == 413

        async def chunks():
            for _ in range(30):
                yield b"x" * 100

        assert (await client.post("/v1/events", content=chunks())).status_code == 413


async def test_a_batch_that_is_too_long_or_no_json_is_refused_whole(encoder: TransformerEncoder):
    async with client_of(Deployment(encoder, max_batch=3)) as client:
        long = await client.post("/v1/events", json=[{}] * 4)
        assert long.status_code == 400 and "at most 3 entries (FRESHET_MAX_BATCH), got 4" in long.json()["detail"]
        for body in (b"", b"{", b"\xff\xfe", b"[" * 5000):
            refused = await client.post("/v1/events", content=body)
            assert refused.status_code == 400, body[:10]
            assert refused.headers["content-type"] == "application/problem+json"


async def test_each_entry_is_refused_on_its_own_with_field_and_value(encoder: TransformerEncoder):
    async with client_of(Deployment(encoder)) as client:
        entries = [
            {"event_id": "e"},
            7,
            None,
            {"event_id": "", "type": "click", "user_id": "u", "item_id": "i", "event_time": 1},
        ]
        told = (await client.post("/v1/events", json=entries)).json()
        assert (told["accepted"], told["refused"]) == (0, 4)
        assert "event_id" in told["results"][3]["error"]
        item = (await client.post("/v1/items", json={"item_id": "i", "price": -1})).json()
        assert item["results"][0]["error"].startswith("price: ")


async def test_an_unexpected_error_is_a_500_without_a_trace(encoder: TransformerEncoder, monkeypatch):
    deployment = Deployment(encoder)
    monkeypatch.setattr(deployment.replica.model.profiles, "get", lambda _: 1 / 0)
    async with client_of(deployment) as client:
        answer = await client.get("/v1/users/a/recommendations")
        assert answer.status_code == 500 and answer.json()["detail"] == "see the server's log"
        assert "ZeroDivision" not in answer.text

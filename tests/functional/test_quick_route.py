"""A quick route reads what FastAPI reads and refuses what FastAPI refuses, whatever is in the query string."""

import asyncio
from typing import Annotated, Any
from urllib.parse import quote

import httpx
import pytest
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.routes.quick import quick
from serving.routes.recommendations import Wishes

NAMES = st.sampled_from([*Wishes.model_fields, "user_id", "other", ""])
VALUES = st.text(max_size=8) | st.sampled_from(
    ["10", "+10", " 10", "1e2", "10.0", "-0", "-1", "9" * 30, "1_0", "true", "ON", "f", "0", "", "null", "x" * 65]
)
PAIRS = st.lists(st.tuples(NAMES, VALUES), max_size=6)
WRITTEN = PAIRS.map(lambda pairs: "&".join(f"{quote(name)}={quote(value)}" for name, value in pairs))


async def told(request: Request, user_id: str, wishes: Annotated[Wishes, Query()]) -> JSONResponse:
    return JSONResponse({"user_id": user_id, **wishes.model_dump()})


async def refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    return JSONResponse([{**one, "ctx": None} for one in error.errors()], 400)


def client(**more: Any) -> httpx.AsyncClient:
    app = FastAPI(exception_handlers={RequestValidationError: refused})
    app.router.add_api_route("/{user_id:path}/slate", told, response_model=None, **more)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test")


@pytest.fixture(scope="module")
def clients() -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
    return client(route_class_override=quick(Wishes, "wishes")), client()


@settings(max_examples=500)
@given(asked=WRITTEN | st.text(max_size=20).map(quote) | st.text("&=;+%a0", max_size=12))
def test_what_is_asked_is_read_as_fastapi_reads_it(clients: tuple[httpx.AsyncClient, httpx.AsyncClient], asked: str):
    async def both() -> list[httpx.Response]:
        return [await one.get(f"/ann/slate?{asked}") for one in clients]

    ours, oracle = asyncio.run(both())
    assert ours.status_code in {200, 400}
    assert (ours.status_code, ours.json()) == (oracle.status_code, oracle.json())


def test_another_method_is_not_answered(clients: tuple[httpx.AsyncClient, httpx.AsyncClient]):
    async def asked() -> list[int]:
        return [(await clients[0].request(method, "/ann/slate")).status_code for method in ("POST", "HEAD", "DELETE")]

    assert asyncio.run(asked()) == [405] * 3

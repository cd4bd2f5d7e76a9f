"""Wiring of the HTTP API over a replica."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response

from serving import errors, openapi
from serving.gate import Gate
from serving.pages import pages
from serving.replica import Replica
from serving.routes import items, live, operations, recommendations, records, users

DESCRIPTION = "Real-time personalised recommendations over Kafka: a click changes the slate in milliseconds."


def create_app(replica: Replica) -> FastAPI:
    """Returns the API. The replica starts and stops with it.

    Raises:
        ConfigError: the settings would open the API to the network without keys.
    """
    replica.settings.refuse_unsafe()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await replica.start()
        yield
        await replica.stop()

    app = FastAPI(
        title="Freshet",
        version=_version(),
        description=DESCRIPTION,
        lifespan=lifespan,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # a replica has its own, and looking costs
    )
    app.state.replica = replica
    app.add_middleware(Gate, settings=replica.settings)
    errors.install(app)
    openapi.install(app)

    @app.exception_handler(RequestValidationError)
    async def out_of_bounds(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        detail = f"{first['loc'][-1]}: {first['msg']}, got {str(first.get('input'))[:60]!r}"
        return errors.problem(400, "The request asks for something out of bounds", detail)

    # Recommendations first, as they are asked for most; trending before similar: both begin with /v1/items/. The app
    # takes the routes themselves: it would look twice at each request for the route in a router that it includes.
    parts = (recommendations, records, items, users, operations, live, pages)
    app.router.routes[:0] = [route for part in parts for route in part.router.routes]
    return app


def _version() -> str:
    try:
        return version("freshet")
    except PackageNotFoundError:
        return "0"

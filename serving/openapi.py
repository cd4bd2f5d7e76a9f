"""The OpenAPI document, with the schemas of the very structs that decode and encode."""

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from domain import answers
from domain.interactions import Interaction
from domain.items import Item
from domain.live import Live
from domain.users import UserChange
from serving.requests import RecommendRequest

STRUCTS: tuple[type[msgspec.Struct], ...] = (
    Interaction,
    Item,
    UserChange,
    RecommendRequest,
    answers.Recommendations,
    answers.FoundItems,
    answers.ProfileAnswer,
    answers.BatchResult,
    answers.Readiness,
    Live,
    answers.Problem,
)

PROBLEM = {
    "description": "RFC 9457 problem document",
    "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
}


def install(app: FastAPI) -> None:
    """Makes /openapi.json speak of the structs, and of the problems that every route may answer with."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    built = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    _, schemas = msgspec.json.schema_components(STRUCTS, ref_template="#/components/schemas/{name}")
    built.setdefault("components", {})["schemas"] = schemas
    for path in built["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            for status in ("400", "401", "404", "413", "503"):
                operation["responses"].setdefault(status, PROBLEM)
    return built

"""What all routes share: the replica behind the app, bodies read and answers written by msgspec."""

from typing import Any, TypeVar, cast

import msgspec
from fastapi import Request
from fastapi.responses import Response

from domain.answers import json
from domain.errors import QueryError
from domain.records import decode
from serving.replica import Replica

Body = TypeVar("Body")


def replica_of(request: Request) -> Replica:
    """The replica that the app was made for."""
    return cast(Replica, request.app.state.replica)


async def body_of(request: Request, kind: type[Body]) -> Body:
    """Decodes a request's body.

    Raises:
        MalformedEvent: not JSON, or a field is out of bounds; the message names field and value.
    """
    body = await request.body()
    return decode(body, kind, limit=len(body))  # the gate has bounded it


def answered(value: object) -> Response:
    """Writes an answer as JSON."""
    return Response(json(value), media_type="application/json")


def documented(answer: type[msgspec.Struct], body: Any = None, example: Any = None) -> dict[str, Any]:  # noqa: ANN401
    """Returns a route's OpenAPI: answer and body by reference to their structs, an example of each.

    FastAPI would need pydantic twins of the structs; serving/openapi.py adds the structs' schemas instead.
    """
    content: dict[str, Any] = {"schema": {"$ref": f"#/components/schemas/{answer.__name__}"}}
    if example is not None:
        content["example"] = msgspec.to_builtins(example)
    extra: dict[str, Any] = {"responses": {"200": {"description": "OK", "content": {"application/json": content}}}}
    if body is not None:
        extra["requestBody"] = {"required": True, "content": {"application/json": body}}
    return {"openapi_extra": extra, "response_model": None}


def limited(field: str, value: int, most: int) -> int:
    """Returns a count from a query string if it lies between 1 and `most`.

    Raises:
        QueryError: it does not.
    """
    if not 1 <= value <= most:
        raise QueryError(f"{field}: between 1 and {most}, got {value}")
    return value

"""From errors to HTTP: one table, RFC 9457 problem documents, nothing of the inside in them."""

import logging

from fastapi import FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from domain.answers import Problem, json
from domain.errors import (
    BrokerUnavailable,
    EmbeddingError,
    EventError,
    FreshetError,
    QueryError,
    TopicError,
    UnknownItem,
)

log = logging.getLogger(__name__)

STATUS: tuple[tuple[type[FreshetError], int, str], ...] = (
    (QueryError, 400, "The request asks for something out of bounds"),
    (EventError, 400, "The record cannot be used"),
    (UnknownItem, 404, "No such item"),
    (BrokerUnavailable, 503, "Kafka is away"),
    (EmbeddingError, 503, "The text encoder is not available"),
    (TopicError, 503, "The topics are not ready"),
)
"""The first row whose class fits decides."""

TITLES = {
    400: "Bad request",
    401: "No valid key",
    404: "Not found",
    405: "Method not allowed",
    413: "Too large",
    503: "Too many requests at once",
}


def problem(status: int, title: str, detail: str) -> Response:
    """Returns a problem document; a 503 says when to come again."""
    body = Problem(type="about:blank", title=title, status=status, detail=detail)
    headers = {"Retry-After": "1"} if status == 503 else {}
    return Response(json(body), status, headers, "application/problem+json")


def install(app: FastAPI) -> None:
    """Makes the app answer every error as a problem document."""

    @app.exception_handler(FreshetError)
    async def known(_: Request, error: FreshetError) -> Response:
        for kind, status, title in STATUS:
            if isinstance(error, kind):
                return problem(status, title, str(error))
        log.error("unexpected error", exc_info=error)
        return problem(500, "Internal error", "see the server's log")

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        title = TITLES.get(error.status_code, "Error")
        return problem(error.status_code, title, str(error.detail))

    @app.exception_handler(Exception)
    async def unknown(_: Request, error: Exception) -> Response:
        log.error("unexpected error", exc_info=error)
        return problem(500, "Internal error", "see the server's log")

"""What every request passes first: its key, a bound on how many there are and on its body, a clock. Plain ASGI."""

import hmac
from functools import cache
from time import perf_counter

from prometheus_client import Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.settings import ServingSettings
from serving import metrics
from serving.admission import Admission
from serving.errors import TITLES, problem

OPEN = ("/health/", "/ui")
"""Paths that need no key: probes have none, and the page itself holds no data."""

UNQUEUED = ("/health/", "/metrics", "/v1/live")
"""Paths that no overload keeps anybody from: whoever looks after the replica needs them most then."""


class Gate:
    """Refuses what has no key, is too much or too large, before anything else looks at it; times the rest."""

    def __init__(self, app: ASGIApp, settings: ServingSettings) -> None:
        self._app = app
        self._limit = settings.max_body_bytes
        self._admission = Admission(settings.max_queued, settings.max_in_flight)
        self._keys = [key.get_secret_value().encode() for key in settings.api_keys]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handles one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not self._may_pass(scope["path"], headers):
            answer = problem(401, TITLES[401], "send a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`")
            await answer(scope, receive, send)
            return
        if scope["path"].startswith(UNQUEUED):
            await self._bounded(scope, headers, receive, send)
            return
        if refusal := self._admission.refusal():
            _seconds("shed", 503).observe(0)
            await problem(503, TITLES[503], f"{refusal}; come again later")(scope, receive, send)
            return
        self._admission.inside += 1
        try:
            await self._bounded(scope, headers, receive, send, self._admission)
        finally:
            self._admission.inside -= 1

    async def _bounded(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        receive: Receive,
        send: Send,
        admission: Admission | None = None,
    ) -> None:
        body = await self._read(headers, receive)
        if body is None:
            answer = problem(413, TITLES[413], f"the body exceeds {self._limit:,} bytes (FRESHET_MAX_BODY_BYTES)")
            await answer(scope, receive, send)
            return
        await self._timed(scope, _replay(body, receive), send, admission)

    async def _timed(self, scope: Scope, receive: Receive, send: Send, admission: Admission | None) -> None:
        status = 500
        started = perf_counter()

        async def watched(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        with metrics.in_flight.track_inprogress():
            try:
                if admission is not None:
                    await admission.turn()
                await self._app(scope, receive, watched)
            finally:
                route = getattr(scope.get("route"), "path", "none")  # the template, so labels stay few
                _seconds(route, status).observe(perf_counter() - started)

    def _may_pass(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if not self._keys or path.startswith(OPEN):
            return True
        given = headers.get(b"x-api-key") or headers.get(b"authorization", b"").removeprefix(b"Bearer ")
        return any([hmac.compare_digest(given, key) for key in self._keys])

    async def _read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes | None:
        """Reads the body whole; None if it is larger than allowed."""
        declared = headers.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            return None
        if declared == b"0" and b"transfer-encoding" not in headers:
            return b""
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._limit:
                return None
        return bytes(body)


@cache
def _seconds(route: str, status: int) -> Histogram:
    return metrics.request_seconds.labels(route, str(status))


def _replay(body: bytes, receive: Receive) -> Receive:
    """Returns a channel that gives the body once, then whatever comes."""
    given = False

    async def channel() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return channel

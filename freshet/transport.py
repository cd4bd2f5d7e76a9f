"""One HTTP call of the client: retries what may be retried, and turns every failure into one of our errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

import httpx
import msgspec
import stamina

from domain.errors import ConfigError, ServingError, ServingUnavailable
from domain.records import bytes_preview

RETRIED = frozenset({502, 503, 504})
MAX_RETRY_AFTER_S = 30.0
"""A server that asks for a longer pause gets no retry: the caller hears of it at once."""

Answer = TypeVar("Answer")
Query = Mapping[str, str | int | float | bool | None]


class _Busy(Exception):
    """An answer that says: not now."""

    def __init__(self, response: httpx.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


class Transport:
    """A pool of connections to one HTTP API."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, retries: int) -> None:
        if not base_url.startswith(("http://", "https://")):
            raise ConfigError(f"base_url: expected http://HOST:PORT or https://HOST, got {base_url!r}")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._base_url = base_url
        self._timeout_s = timeout_s
        self._attempts = retries + 1
        self._http = httpx.Client(base_url=base_url, headers=headers, timeout=timeout_s)

    def get(self, kind: type[Answer], path: str, query: Query, wait_s: float = 0.0) -> Answer:
        """Asks; parameters that are None are left out. `wait_s` is how much longer the server may think."""
        given = {name: value for name, value in query.items() if value is not None}
        return self._call(kind, self._http.build_request("GET", path, params=given), wait_s)

    def post(self, kind: type[Answer], path: str, body: bytes, wait_s: float = 0.0) -> Answer:
        """Sends JSON. Only for calls that may be repeated: all of Freshet's may, by their ids."""
        headers = {"Content-Type": "application/json"}
        return self._call(kind, self._http.build_request("POST", path, content=body, headers=headers), wait_s)

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def _call(self, kind: type[Answer], request: httpx.Request, wait_s: float) -> Answer:
        limit_s = self._timeout_s + wait_s
        request.extensions["timeout"] = httpx.Timeout(self._timeout_s, read=limit_s).as_dict()
        try:
            for attempt in stamina.retry_context(on=_backoff, attempts=self._attempts, wait_jitter=0.1):
                with attempt:
                    response = self._http.send(request)
                    if response.status_code in RETRIED:
                        raise _Busy(response)
        except _Busy as busy:
            response = busy.response
        except httpx.TimeoutException:
            raise ServingUnavailable(f"{self._base_url} did not answer within {limit_s:g} s") from None
        except httpx.TransportError as error:
            raise ServingUnavailable(f"{self._base_url} cannot be reached ({error}); does it run?") from None
        return _decoded(kind, response)


def _backoff(error: Exception) -> bool | float:
    """Says whether to try again, and where the server asked for it, after how many seconds.

    A read that timed out is not repeated: the caller's patience is `timeout_s`, not a multiple of it.
    """
    if isinstance(error, _Busy):
        pause_s = _retry_after_s(error.response)
        return True if pause_s is None else pause_s <= MAX_RETRY_AFTER_S and max(pause_s, 0.001)
    return isinstance(error, httpx.TransportError) and not isinstance(error, httpx.ReadTimeout)


def _retry_after_s(response: httpx.Response) -> float | None:
    """Reads Retry-After, which is a number of seconds or a date."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None


def _decoded(kind: type[Answer], response: httpx.Response) -> Answer:
    if not response.is_success:
        raise ServingError(response.status_code, _detail(response))
    try:
        return msgspec.json.decode(response.content, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        begin = bytes_preview(response.content)
        raise ServingError(response.status_code, f"not an answer of Freshet: {error}; it begins with {begin}") from None


def _detail(response: httpx.Response) -> str:
    """What a problem JSON (RFC 9457) says, or how the answer begins where a proxy wrote it."""
    try:
        problem = msgspec.json.decode(response.content)
        return str(problem.get("detail") or problem["title"])
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError, LookupError):
        return bytes_preview(response.content, 200)

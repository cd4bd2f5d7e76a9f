"""One HTTP call of the client: retries what may be retried, and turns every failure into one of our errors."""

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar
from urllib.parse import urlencode

import msgspec
import stamina
import urllib3
from urllib3.exceptions import ClosedPoolError, HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError
from urllib3.exceptions import TimeoutError as TooLate

from domain.errors import ConfigError, ServingError, ServingUnavailable
from domain.records import bytes_preview

RETRIED = frozenset({502, 503, 504})
CONNECTIONS = 100
"""Kept open for as many threads at once; more connect anew each time."""

MAX_RETRY_AFTER_S = 30.0
"""A server that asks for a longer pause gets no retry: the caller hears of it at once."""

Answer = TypeVar("Answer")
Query = Mapping[str, str | int | float | bool | None]


class _Busy(Exception):
    """An answer that says: not now."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        super().__init__(f"HTTP {response.status}")
        self.response = response


class Transport:
    """A pool of connections to one HTTP API.

    They go there directly, whatever proxies the environment names; no cookies are kept; HTTPS trusts whom the machine
    trusts.
    """

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float, retries: int) -> None:
        url = _checked(base_url)
        if not timeout_s > 0:
            raise ConfigError(f"timeout_s: expected more than 0, got {timeout_s!r}")
        if api_key and not (api_key.isascii() and api_key.isprintable()):
            raise ConfigError("api_key: holds what an HTTP header cannot, such as the end of a line")
        headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._pool = urllib3.connection_from_url(base_url, maxsize=CONNECTIONS, headers=headers)
        self._base_url = base_url
        self._path = (url.path or "").rstrip("/")
        self._timeout_s = timeout_s
        self._attempts = retries + 1

    def get(self, kind: type[Answer], path: str, query: Query, wait_s: float = 0.0) -> Answer:
        """Asks; parameters that are None are left out. `wait_s` is how much longer the server may think."""
        given = {name: _written(value) for name, value in query.items() if value is not None}
        return _decoded(kind, self._call("GET", f"{path}?{urlencode(given)}" if given else path, None, wait_s))

    def post(self, kind: type[Answer], path: str, body: bytes, wait_s: float = 0.0) -> Answer:
        """Sends JSON. Only for calls that may be repeated: all of Freshet's may, by their ids."""
        return _decoded(kind, self._call("POST", path, body, wait_s))

    def close(self) -> None:
        """Closes the connections."""
        self._pool.close()

    def _call(self, method: str, path: str, body: bytes | None, wait_s: float) -> urllib3.BaseHTTPResponse:
        limit_s = self._timeout_s + wait_s
        timeout = urllib3.Timeout(connect=self._timeout_s, read=limit_s)
        headers = {**self._pool.headers, "Content-Type": "application/json"} if body is not None else None
        try:
            for attempt in stamina.retry_context(on=_backoff, attempts=self._attempts, wait_jitter=0.1):
                with attempt:
                    response = self._pool.urlopen(
                        method, self._path + path, body, headers, retries=False, redirect=False, timeout=timeout
                    )
                    if response.status in RETRIED:
                        raise _Busy(response)
        except _Busy as busy:
            response = busy.response
        except HTTPError as error:
            if _took_too_long(error):
                raise ServingUnavailable(f"{self._base_url} did not answer within {limit_s:g} s") from None
            raise ServingUnavailable(f"{self._base_url} cannot be reached ({error}); does it run?") from None
        return response


def _checked(base_url: str) -> urllib3.util.Url:
    try:
        url = urllib3.util.parse_url(base_url)
    except HTTPError:
        url = urllib3.util.Url()
    # Without a host it would be taken for this machine; a name and a password in it would not be sent.
    if url.scheme not in {"http", "https"} or not url.host or url.auth:
        raise ConfigError(f"base_url: expected http://HOST:PORT or https://HOST, got {base_url!r}")
    return url


def _took_too_long(error: HTTPError) -> bool:
    if isinstance(error, ProtocolError):  # a socket that took no more of a body
        return isinstance(error.args[-1], TimeoutError)
    return isinstance(error, TooLate) and not isinstance(error, NewConnectionError)


def _written(value: str | float | bool) -> str:
    """Returns a value as the API reads it."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _backoff(error: Exception) -> bool | float:
    """Says whether to try again, and where the server asked for it, after how many seconds.

    A read that timed out is not repeated: the caller's patience is `timeout_s`, not a multiple of it.
    """
    if isinstance(error, _Busy):
        pause_s = _retry_after_s(error.response)
        return True if pause_s is None else pause_s <= MAX_RETRY_AFTER_S and max(pause_s, 0.001)
    return isinstance(error, HTTPError) and not isinstance(error, (ReadTimeoutError, ClosedPoolError))


def _retry_after_s(response: urllib3.BaseHTTPResponse) -> float | None:
    """Reads Retry-After, which is a number of seconds or a date."""
    text = response.headers.get("Retry-After", "")
    if text.isdecimal():
        return float(text)
    try:
        return (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds()
    except (TypeError, ValueError):
        return None


def _decoded(kind: type[Answer], response: urllib3.BaseHTTPResponse) -> Answer:
    if not 200 <= response.status < 300:
        raise ServingError(response.status, _detail(response))
    try:
        return msgspec.json.decode(response.data, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        begin = bytes_preview(response.data)
        raise ServingError(response.status, f"not an answer of Freshet: {error}; it begins with {begin}") from None


def _detail(response: urllib3.BaseHTTPResponse) -> str:
    """What a problem JSON (RFC 9457) says, or how the answer begins where a proxy wrote it."""
    try:
        problem = msgspec.json.decode(response.data)
        return str(problem.get("detail") or problem["title"])
    except (msgspec.MsgspecError, UnicodeDecodeError, AttributeError, LookupError):
        return bytes_preview(response.data, 200)

"""The Client: asks a serving replica for recommendations and sends it events, over HTTP."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Self
from urllib.parse import quote

from domain.answers import (
    BatchResult,
    EntryResult,
    FoundItem,
    FoundItems,
    ProfileAnswer,
    Recommendations,
)
from domain.interactions import Interaction
from domain.items import Item
from domain.records import to_json
from domain.users import UserChange

BATCH_ENTRIES = 500
BATCH_BYTES = 500_000
"""Half of what a replica accepts by default (FRESHET_MAX_BATCH, FRESHET_MAX_BODY_BYTES)."""

Fields = Mapping[str, object]


class Client:
    """Talks to one address of the HTTP API; thread-safe; a context manager.

    Connections that fail and answers 502, 503 and 504 are tried again, with the pause that the server asks
    for; nothing counts twice, because events carry ids. Every method raises ServingUnavailable if there is
    no answer, and ServingError, with `status` and `detail`, for an answer that is a problem.
    """

    def __init__(self, base_url: str, api_key: str | None = None, timeout_s: float = 5.0, retries: int = 2) -> None:
        """Prepares the client; the first call connects.

        Args:
            base_url: such as `http://127.0.0.1:8080`.
            api_key: one of the replica's FRESHET_API_KEYS.
            timeout_s: how long one attempt may take.
            retries: how often to try again.

        Raises:
            ConfigError: `base_url` is no HTTP address.
        """
        from freshet.transport import Transport  # noqa: PLC0415 - loads urllib3, for clients only

        self._http = Transport(base_url, api_key, timeout_s, retries)

    def recommend(
        self,
        user_id: str,
        count: int = 10,
        scenario: str | None = None,
        explain: bool = True,
        after: str | None = None,
        wait_ms: int | None = None,
        **post_fields: object,
    ) -> Recommendations:
        """Returns a slate for a user; a stranger gets a fallback, which the answer names.

        Args:
            user_id: whom it is for.
            count: how many items.
            scenario: the place it is shown in.
            explain: whether each item carries what each feature added to its score.
            after: the token of an event that the slate shall reflect; `fresh` says whether it does.
            wait_ms: how long to wait for that event.
            **post_fields: `history`, `filter`, `boost`, `exclude`, `diversity`, `explore`, `without`, `rotation`,
                `context`, `cursor`, as `POST /v1/recommendations` takes them.
        """
        query = {"count": count, "scenario": scenario, "explain": explain, "after": after, "wait_ms": wait_ms}
        wait_s = (wait_ms or 0) / 1_000
        # A path cannot carry every id: servers take %2F for a slash and resolve dots.
        if not post_fields and "/" not in user_id and user_id.strip("."):
            return self._http.get(Recommendations, f"{_user(user_id)}/recommendations", query, wait_s)
        fields = {name: value for name, value in query.items() if value is not None}
        body = to_json({"user_id": user_id, **fields, **post_fields})
        return self._http.post(Recommendations, "/v1/recommendations", body, wait_s)

    def send_events(self, events: Iterable[Interaction | Fields]) -> list[EntryResult]:
        """Sends interactions and returns what became of each, in order: a token or an error.

        Long lists go in several requests. If one fails, send all again: an event id never counts twice.
        """
        return self._send("/v1/events", events)

    def send_items(self, items: Iterable[Item | Fields]) -> list[EntryResult]:
        """Adds or replaces items of the catalogue and returns what became of each, in order."""
        return self._send("/v1/items", items)

    def change_users(self, changes: Iterable[UserChange | Fields]) -> list[EntryResult]:
        """Erases, merges or opts out users and returns what became of each change, in order."""
        return self._send("/v1/users", changes)

    def similar_items(self, item_id: str, count: int = 10) -> list[FoundItem]:
        """Returns the items closest to one, descending by score."""
        path = f"/v1/items/{quote(item_id, safe='')}/similar"
        return self._http.get(FoundItems, path, {"count": count}).items

    def trending(self, count: int = 10, category: str | None = None) -> list[FoundItem]:
        """Returns what is popular now, descending by score."""
        return self._http.get(FoundItems, "/v1/items/trending", {"count": count, "category": category}).items

    def search(self, q: str, count: int = 10) -> list[FoundItem]:
        """Returns the items whose texts are closest in meaning to `q`, descending by score."""
        return self._http.get(FoundItems, "/v1/search", {"q": q, "count": count}).items

    def profile(self, user_id: str) -> ProfileAnswer:
        """Returns what is remembered of a user; an empty profile for a stranger."""
        return self._http.get(ProfileAnswer, f"{_user(user_id)}/profile", {})

    def state_hashes(self) -> dict[str, str]:
        """Returns one hash for each state that the replica holds; equal on replicas that read the same."""
        return self._http.get(dict[str, str], "/v1/state/hash", {})

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _send(self, path: str, records: Iterable[object]) -> list[EntryResult]:
        bodies = _batches(map(to_json, records))
        return [result for body in bodies for result in self._http.post(BatchResult, path, body).results]


def _user(user_id: str) -> str:
    return f"/v1/users/{quote(user_id, safe='')}"


def _batches(entries: Iterable[bytes]) -> Iterator[bytes]:
    """Joins encoded entries to JSON lists, none over the bounds unless one entry is."""
    batch: list[bytes] = []
    size = 0
    for entry in entries:
        if batch and (len(batch) == BATCH_ENTRIES or size + len(entry) > BATCH_BYTES):
            yield b"[%b]" % b",".join(batch)
            batch, size = [], 0
        batch.append(entry)
        size += len(entry)
    if batch:
        yield b"[%b]" % b",".join(batch)

"""What the HTTP API answers. Serving encodes these structs, freshet.Client decodes them: one contract."""

from typing import Any

import msgspec


class RecommendedItem(msgspec.Struct, frozen=True, kw_only=True):
    """One item of a slate.

    `rank` counts from 0. `score` is finite, higher is better, comparable within one slate. `source` names
    what spoke most for the item; `reasons` are for people, the weightiest first; `parts` (with `explain`)
    are what each feature added to the score.
    """

    item_id: str
    title: str
    score: float
    rank: int
    source: str
    reasons: list[str]
    parts: dict[str, float] | None = None


class ProfileSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How much is known of the user: `as_of` is the newest event's own time, null for nothing."""

    as_of: int | None
    interactions: int


class Recommendations(msgspec.Struct, frozen=True, kw_only=True):
    """A slate and what there is to say about it.

    `fallback` names what stood in for a personal slate, or is null. `fresh` is false if the event named by
    `after` was not reflected in time; `stale` is true while Kafka is away. `degraded` names sources that
    failed or were late, `removed` counts the candidates that each filter took out.
    """

    recommendation_id: str
    items: list[RecommendedItem]
    profile: ProfileSummary
    fallback: str | None
    variant: str
    next_cursor: str | None
    stale: bool
    fresh: bool
    degraded: list[str]
    removed: dict[str, int]
    took_ms: float


class FoundItem(msgspec.Struct, frozen=True, kw_only=True):
    """An item of a list that is not personal; `score` is higher for better."""

    item_id: str
    title: str
    score: float
    reasons: list[str] = []


class FoundItems(msgspec.Struct, frozen=True, kw_only=True):
    """Similar, trending or found items, descending by score."""

    items: list[FoundItem]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One remembered interaction; `title` is empty if the item is gone."""

    item_id: str
    title: str
    type: str
    event_time: int
    value: float | None


class ProfileAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What is remembered of a user, the newest interaction first; `interests` counts the profile vectors."""

    user_id: str
    interactions: int
    as_of: int | None
    opted_out: bool
    history: list[HistoryEntry]
    interests: int
    categories: dict[str, float]


class EntryResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of one entry of a batch; `token` is for `after=`, `error` names field and value."""

    accepted: bool
    token: str | None = None
    error: str | None = None


class BatchResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a batch, in its order. An accepted entry is durable in Kafka."""

    accepted: int
    refused: int
    results: list[EntryResult]


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    """How a replica is. `stale` while Kafka is away; `unheard_s` says since when, in seconds.

    `lag_records` is how far it is behind the topics, `holds` counts what it has in memory.
    """

    ready: bool
    stale: bool
    unheard_s: float
    lag_records: int
    holds: dict[str, int]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str


def json(answer: Any) -> bytes:  # noqa: ANN401
    """Encodes an answer."""
    return msgspec.json.encode(answer)

"""From a request to a query, and from a slate to an answer: what both recommendation routes share."""

import base64
import binascii
from functools import cache, lru_cache
from secrets import token_hex
from time import perf_counter
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta
from prometheus_client import Counter

from domain.answers import ProfileSummary, Recommendations, RecommendedItem
from domain.errors import QueryError
from domain.positions import from_token
from domain.profile import Touch
from domain.records import checked_id
from serving import metrics
from serving.pipeline import Slate, recommend
from serving.profile_waiters import what_came
from serving.query import Boost, HistoryEvent, ItemFilter, Query, stored_query
from serving.replica import Replica
from serving.retrieval import WIDEST
from serving.side_effects.exposures import exposure_of

DEFAULT_WAIT_MS = 1000
_Id = Annotated[str, Meta(min_length=1, max_length=128)]
_Label = Annotated[str, Meta(max_length=64)]
_Share = Annotated[float, Meta(ge=0, le=1)]
_Part = Literal["covisitation", "sequence", "popularity", "profile", "kind", "fresh", "ranker"]


class RecommendRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The body of POST /v1/recommendations.

    With `history` (the oldest first) the stored profile is not looked at. `after` and `wait_ms` are for
    reading one's writes; `cursor` is a previous answer's `next_cursor`. `diversity` and `explore` stand in for
    FRESHET_DIVERSITY and FRESHET_EXPLORE_SHARE. `without` is for comparisons: sources and features to leave out, and
    `ranker` for the weights from before it learned; answer and exposure then name another variant.
    """

    user_id: _Id = "anonymous"
    count: int = 10
    scenario: _Label = ""
    explain: bool = False
    history: Annotated[list[HistoryEvent], Meta(max_length=1000)] = []
    filter: ItemFilter | None = None
    boost: Annotated[list[Boost], Meta(max_length=16)] = []
    exclude: Annotated[list[_Id], Meta(max_length=1000)] = []
    diversity: _Share | None = None
    explore: Annotated[float, Meta(ge=0, le=0.5)] | None = None
    without: Annotated[list[_Part], Meta(max_length=16)] = []
    rotation: _Share = 0.0
    context: Annotated[dict[_Label, Annotated[str, Meta(max_length=256)]], Meta(max_length=16)] | None = None
    cursor: Annotated[str, Meta(max_length=64)] | None = None
    after: Annotated[str, Meta(max_length=64)] | None = None
    wait_ms: Annotated[int, Meta(ge=0)] = DEFAULT_WAIT_MS


async def answer(replica: Replica, request: RecommendRequest) -> Recommendations:
    """Answers one request for recommendations and notes the exposure.

    Raises:
        QueryError: a value is out of bounds; the message names it.
    """
    started = perf_counter()
    _check(replica, request)
    fresh = True
    if request.after is None and not request.history:
        await what_came()
    if request.after is not None:
        wait_ms = min(request.wait_ms, replica.settings.max_wait_ms)
        position = from_token(request.after)
        waiting = perf_counter()
        fresh = await replica.model.waiters.reached(request.user_id, position, wait_ms)
        metrics.after_seconds.labels("true" if fresh else "false").observe(perf_counter() - waiting)
    query = _query(replica, request)
    slate = recommend(query)
    recommendation_id = token_hex(8)
    exposure = exposure_of(recommendation_id, query, slate, request.context)
    replica.exposures.note(exposure)
    replica.model.click_through.shown(exposure)
    _slates(slate.fallback or "none").inc()
    metrics.slate_items.observe(len(slate.items))
    return Recommendations(
        recommendation_id=recommendation_id,
        items=_items(query, slate),
        profile=ProfileSummary(
            as_of=query.touches[-1].event_time if query.touches else None, interactions=len(query.touches)
        ),
        fallback=slate.fallback,
        variant=query.model.settings.variant,
        next_cursor=_cursor(query.offset + query.count, slate.limit) if slate.more else None,
        stale=replica.follower.stale,
        fresh=fresh,
        degraded=slate.degraded,
        removed=slate.removed,
        took_ms=round((perf_counter() - started) * 1000, 3),
    )


def _check(replica: Replica, request: RecommendRequest) -> None:
    try:
        checked_id("user_id", request.user_id)
    except ValueError as error:
        raise QueryError(str(error)) from None
    if not 1 <= request.count <= replica.settings.max_count:
        raise QueryError(f"count: between 1 and {replica.settings.max_count} (FRESHET_MAX_COUNT), got {request.count}")
    for wanted in [request.filter, *[boost.filter for boost in request.boost]]:
        if wanted is not None and wanted.exclude is not None and wanted.exclude.exclude is not None:
            raise QueryError("filter: an `exclude` may not have an `exclude` of its own")
    unknown = {event.type for event in request.history} - replica.model.types.keys()
    if unknown:
        raise QueryError(f"history: type {sorted(unknown)[0]!r} is not one of {', '.join(sorted(replica.model.types))}")


def _query(replica: Replica, request: RecommendRequest) -> Query:
    now = replica.clock()
    model = replica.model.without(request.without) if request.without else replica.model
    query = stored_query(model, request.user_id, request.count, now)
    if request.history:
        query.touches = tuple(
            Touch(now + at - len(request.history), f"history-{at}", one.item_id, one.type, one.value, at)
            for at, one in enumerate(request.history)
        )
    query.offset, query.limit = _place(replica, request.cursor)
    query.scenario, query.explain = request.scenario, request.explain
    query.exclude, query.filter, query.boost = frozenset(request.exclude), request.filter, request.boost
    query.rotation = request.rotation
    if request.diversity is not None:
        query.diversity = request.diversity
    if request.explore is not None:
        query.explore_share = request.explore
    return query


def _items(query: Query, slate: Slate) -> list[RecommendedItem]:
    catalogue, items = query.model.catalogue, slate.items
    # All at once: NumPy rounds a page's parts in half of the time.
    parts = iter(np.round([part for one in items for part in one.parts.values()], 6).tolist() if query.explain else ())
    return [
        RecommendedItem(
            item_id=catalogue.ids[one.row],
            title=catalogue.title(one.row),
            score=round(one.score, 6),
            rank=query.offset + at,
            source=one.source,
            reasons=one.reasons,
            parts=dict(zip(one.parts, parts, strict=False)) if query.explain else None,
        )
        for at, one in enumerate(items)
    ]


@cache
def _slates(fallback: str) -> Counter:
    return metrics.slates.labels(fallback)


@lru_cache
def _cursor(offset: int, limit: int) -> str:
    return base64.urlsafe_b64encode(f"from.{offset}.{limit}".encode()).decode().rstrip("=")


def _place(replica: Replica, cursor: str | None) -> tuple[int, int]:
    """Returns where a page begins and how many candidates of a source it is chosen from, as the page before was."""
    if cursor is None:
        return 0, 0
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode("ascii")
        offset, limit = map(int, raw.removeprefix("from.").split(".")) if raw.startswith("from.") else (-1, -1)
    except (ValueError, binascii.Error):
        offset = limit = -1
    if not (0 <= offset <= 10 * replica.settings.max_count and 0 < limit <= WIDEST):
        raise QueryError(f"cursor: {cursor!r} is not a `next_cursor` of an earlier answer")
    return offset, limit

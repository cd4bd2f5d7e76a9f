"""Events, items and user changes over HTTP: each entry of a batch is accepted or refused on its own."""

import asyncio
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from fastapi.responses import Response

from domain.answers import BatchResult, EntryResult
from domain.errors import BrokerUnavailable, EventError, QueryError
from domain.interactions import convert_interaction
from domain.items import convert_item
from domain.positions import Position, to_token
from domain.topics import INTERACTIONS, ITEMS, USERS
from domain.users import convert_user_change
from serving import metrics
from serving.replica import Replica
from serving.routes.common import answered, body_of, documented, replica_of
from tracing import HEADER, headers_of

router = APIRouter(tags=["records"])

Convert = Callable[[Any], tuple[str, bytes | None]]
"""Turns one decoded entry into a record's key and value, or raises EventError."""

KindOf = Callable[[dict[Any, Any]], object]
"""Says of which kind an entry claims to be, for the metrics."""

ITEM_KINDS = ("item", "deletion")
ACTIONS = ("erase", "merge", "opt_out", "opt_in")

ACCEPTED = BatchResult(
    accepted=1,
    refused=1,
    results=[
        EntryResult(accepted=True, token="My4xNzQy"),  # noqa: S106  (a position, no secret)
        EntryResult(accepted=False, error="user_id: an id has 1 to 128 printable characters, got ''"),
    ],
)


def _body(name: str, example: dict[str, Any]) -> dict[str, Any]:
    one = {"$ref": f"#/components/schemas/{name}"}
    return {"schema": {"anyOf": [one, {"type": "array", "items": one}]}, "example": [example]}


EVENT = {
    "event_id": "e-1",
    "type": "click",
    "user_id": "42",
    "item_id": "50",
    "event_time": "2026-11-22T10:00:00Z",
}
ITEM = {"item_id": "50", "title": "Star Wars (1977)", "categories": ["Sci-Fi"], "attributes": {"year": 1977}}
CHANGE = {"user_id": "guest-7", "action": "merge", "target": "42", "event_time": "2026-11-22T10:00:00Z"}


@router.post("/v1/events", **documented(BatchResult, _body("Interaction", EVENT), ACCEPTED))
async def post_events(request: Request) -> Response:
    """Takes interactions. An accepted one is durable in Kafka; its token is for `after=`."""
    replica = replica_of(request)
    now = replica.clock()

    def convert(entry: Any) -> tuple[str, bytes]:  # noqa: ANN401
        interaction = convert_interaction(entry, now, replica.model.types)
        return interaction.user_id, msgspec.json.encode(interaction)

    return await _taken(request, INTERACTIONS, convert, lambda entry: entry.get("type"), replica.model.types)


@router.post("/v1/items", **documented(BatchResult, _body("Item", ITEM), ACCEPTED))
async def post_items(request: Request) -> Response:
    """Takes items, new or changed. `{"item_id": "...", "deleted": true}` deletes one."""

    def convert(entry: Any) -> tuple[str, bytes | None]:  # noqa: ANN401
        item = convert_item(entry)
        deleted = isinstance(entry, dict) and entry.get("deleted") is True
        return item.item_id, None if deleted else msgspec.json.encode(item)

    return await _taken(
        request, ITEMS, convert, lambda entry: "deletion" if entry.get("deleted") else "item", ITEM_KINDS
    )


@router.post("/v1/users", **documented(BatchResult, _body("UserChange", CHANGE), ACCEPTED))
async def post_users(request: Request) -> Response:
    """Takes user changes: erase, merge a guest into a login, opt out, opt in."""

    def convert(entry: Any) -> tuple[str, bytes]:  # noqa: ANN401
        change = convert_user_change(entry)
        return change.user_id, msgspec.json.encode(change)

    return await _taken(request, USERS, convert, lambda entry: entry.get("action"), ACTIONS)


async def _taken(request: Request, name: str, convert: Convert, kind_of: KindOf, kinds: Collection[str]) -> Response:
    replica, parent = replica_of(request), request.headers.get(HEADER)
    body = await body_of(request, object)
    entries = body if isinstance(body, list) else [body]
    if len(entries) > replica.settings.max_batch:
        raise QueryError(f"at most {replica.settings.max_batch} entries (FRESHET_MAX_BATCH), got {len(entries)}")
    # All at once, so that the batch costs one round trip; each key keeps its order within its partition.
    results = await asyncio.gather(*[_one(replica, name, convert, entry, parent) for entry in entries])
    away = [one for one in results if isinstance(one, BrokerUnavailable)]
    outcomes = zip(map(_outcome, results), (_kind(entry, kind_of, kinds) for entry in entries), strict=True)
    for (outcome, kind), number in Counter(outcomes).items():
        metrics.events.labels(name, outcome, kind).inc(number)
    if away and not any(isinstance(one, EntryResult) and one.accepted for one in results):
        raise away[0]  # 503: nothing was accepted, and all of it may be sent again
    told = [one if isinstance(one, EntryResult) else EntryResult(accepted=False, error=str(one)) for one in results]
    accepted = sum(one.accepted for one in told)
    return answered(BatchResult(accepted=accepted, refused=len(told) - accepted, results=told))


async def _one(
    replica: Replica, name: str, convert: Convert, entry: object, parent: str | None
) -> EntryResult | BrokerUnavailable:
    try:
        key, value = convert(entry)
        with metrics.intake_seconds.labels(name).time():
            position = await _sent(replica, replica.settings.topic(name), key, value, parent)
    except EventError as error:
        return EntryResult(accepted=False, error=str(error))
    except BrokerUnavailable as error:
        return error
    return EntryResult(accepted=True, token=to_token(position))


async def _sent(replica: Replica, topic: str, key: str, value: bytes | None, parent: str | None) -> Position:
    if replica.tracer is None:
        return await replica.intake.send(topic, key, value)
    span = replica.tracer.start(f"send {topic}", "producer", parent, topic, key)
    try:
        position = await replica.intake.send(topic, key, value, headers_of([span]))
    except BaseException as error:
        span.end(str(error))
        raise
    span.end()
    return position


def _outcome(result: EntryResult | BrokerUnavailable) -> str:
    if isinstance(result, BrokerUnavailable):
        return "unavailable"
    return "accepted" if result.accepted else "refused"


def _kind(entry: object, kind_of: KindOf, kinds: Collection[str]) -> str:
    """Returns the entry's kind if it is one of those that there are, so that labels stay few."""
    kind = kind_of(entry) if isinstance(entry, dict) else None
    return kind if isinstance(kind, str) and kind in kinds else "unknown"

"""Health and metrics, for machines."""

from time import monotonic
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from domain.answers import Readiness, json
from serving.read_model import summary
from serving.routes.common import answered, replica_of
from serving.state_hash import state_hashes

router = APIRouter(tags=["operations"])


LIVE = {"type": "object", "required": ["live"], "properties": {"live": {"type": "boolean"}}}
HASHES = {"type": "object", "additionalProperties": {"type": "string"}}
READINESS = {"$ref": "#/components/schemas/Readiness"}


def _says(schema: dict[str, Any], description: str = "OK") -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


@router.get("/health/live", response_model=None, responses={200: _says(LIVE)})
async def live() -> Response:
    """200 while the process answers at all."""
    return answered({"live": True})


@router.get(
    "/health/ready",
    response_model=None,
    responses={200: _says(READINESS), 503: _says(READINESS, "still catching up")},
)
async def ready(request: Request) -> Response:
    """200 once the replica has caught up with Kafka; it stays ready, and `stale`, when Kafka goes away."""
    replica = replica_of(request)
    follower = replica.follower
    told = Readiness(
        ready=follower.ready.is_set(),
        stale=follower.stale,
        unheard_s=round(monotonic() - follower.heard_s, 1),
        lag_records=follower.lag,
        holds=summary(replica.model),
    )
    return Response(json(told), 200 if told.ready else 503, media_type="application/json")


@router.get("/v1/state/hash", response_model=None, responses={200: _says(HASHES)})
async def state_hash(request: Request) -> Response:
    """One hash for each state this replica holds; equal on every replica that has read the same."""
    return answered(state_hashes(replica_of(request).model))


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics() -> Response:
    """Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

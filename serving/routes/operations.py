"""Health and metrics, for machines."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from domain.answers import json
from serving.read_model import summary
from serving.routes.common import answered, replica_of
from serving.state_hash import state_hashes

router = APIRouter(tags=["operations"])


@router.get("/health/live", response_model=None)
async def live() -> Response:
    """200 while the process answers at all."""
    return answered({"live": True})


@router.get("/health/ready", response_model=None, responses={503: {"description": "still catching up"}})
async def ready(request: Request) -> Response:
    """200 once the replica has caught up with Kafka; it stays ready, and `stale`, when Kafka goes away."""
    replica = replica_of(request)
    is_ready = replica.follower.ready.is_set()
    told = {
        "ready": is_ready,
        "stale": replica.follower.stale,
        "lag_records": replica.follower.lag,
        "holds": summary(replica.model),
    }
    return Response(json(told), 200 if is_ready else 503, media_type="application/json")


@router.get("/v1/state/hash", response_model=None)
async def state_hash(request: Request) -> Response:
    """One hash for each state this replica holds; equal on every replica that has read the same."""
    return answered(state_hashes(replica_of(request).model))


@router.get("/metrics", response_model=None)
async def metrics() -> Response:
    """Prometheus' text format."""
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)

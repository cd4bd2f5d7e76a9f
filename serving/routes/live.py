"""The replica now, for the live page: one answer a second and nothing in between."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from domain.live import Live
from serving.live import live_of
from serving.routes.common import answered, documented, replica_of

router = APIRouter(tags=["operations"])


@router.get("/v1/live", **documented(Live))
async def live(request: Request) -> Response:
    """Counts, times and the newest of the log. Each look keeps a reader of the log's ends open for five seconds."""
    return answered(live_of(replica_of(request)))

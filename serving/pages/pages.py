"""The pages: the playground at /ui (history, slate, reasons, clicks), the live page at /ui/live (a replica now)."""

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse, Response

from serving.routes.common import answered, replica_of

router = APIRouter(include_in_schema=False)

FOLDER = Path(__file__).parent
TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
SECURITY = {"Content-Security-Policy": "default-src 'self'", "X-Content-Type-Options": "nosniff"}
FILES = {one.name: one.read_bytes() for one in FOLDER.iterdir() if one.suffix in TYPES}
LISTED = 50


@router.get("/")
async def home() -> Response:
    """Leads to the page."""
    return RedirectResponse("/ui")


@router.get("/ui")
async def page() -> Response:
    """The playground; it holds no data and asks the API like any other client."""
    return _file("playground.html")


@router.get("/ui/live")
async def live() -> Response:
    """The live page, likewise."""
    return _file("live.html")


@router.get("/ui/{name}")
async def part(name: str) -> Response:
    """Their styles, their scripts and their icon."""
    return _file(name) if name in FILES else Response(status_code=404)


@router.get("/v1/users")
async def users(request: Request, q: Annotated[str, Query(max_length=128)] = "") -> Response:
    """A few user ids that begin with `q`, for the page's list."""
    found: list[str] = []
    for user_id in replica_of(request).model.profiles.user_ids():
        if user_id.startswith(q):
            found.append(user_id)
            if len(found) == LISTED:
                break
    return answered({"users": found})


def _file(name: str) -> Response:
    return Response(FILES[name], media_type=TYPES[Path(name).suffix], headers=SECURITY)

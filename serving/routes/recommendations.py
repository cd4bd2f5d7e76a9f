"""GET and POST of recommendations."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field

from domain.answers import ProfileSummary, Recommendations, RecommendedItem
from serving.requests import DEFAULT_WAIT_MS, RecommendRequest, answer
from serving.routes.common import answered, body_of, documented, replica_of
from serving.routes.quick import quick

router = APIRouter(tags=["recommendations"])

EXAMPLE = Recommendations(
    recommendation_id="5b0f3c1a9d2e4f60",
    items=[
        RecommendedItem(
            item_id="174",
            title="Raiders of the Lost Ark (1981)",
            score=1.12,
            rank=0,
            source="covisitation",
            reasons=["because you rated Star Wars (1977)", "trending in Adventure"],
        )
    ],
    profile=ProfileSummary(as_of=891717742000, interactions=42),
    fallback=None,
    variant="default",
    next_cursor="ZnJvbS4xLjE1MA",
    stale=False,
    fresh=True,
    degraded=[],
    removed={"already_seen": 17},
    took_ms=2.4,
)
BODY = {
    "schema": {"$ref": "#/components/schemas/RecommendRequest"},
    "example": {
        "user_id": "guest-7",
        "count": 5,
        "history": [{"item_id": "50", "type": "like"}],
        "filter": {"categories": ["Sci-Fi"], "attributes": {"year": {"min": 1980}}},
        "exclude": ["181"],
        "diversity": 0.3,
    },
}


class Wishes(BaseModel):
    """What GET takes in its query string, beside the user."""

    count: int = Field(10, description="how many items")
    scenario: str = Field("", max_length=64, description="where the slate is shown; kept with the exposure")
    explain: bool = Field(False, description="adds each feature's part of the score")
    cursor: str | None = Field(None, max_length=64, description="the previous answer's next_cursor")
    after: str | None = Field(None, max_length=64, description="wait for this event's token to be reflected")
    wait_ms: int = Field(DEFAULT_WAIT_MS, ge=0, description="how long to wait for it")


async def recommend_for_user(request: Request, user_id: str, wishes: Annotated[Wishes, Query()]) -> Response:
    """The user's slate now. An unknown user is a cold start with a named fallback, never an error."""
    asked = RecommendRequest(
        user_id=user_id,
        count=wishes.count,
        scenario=wishes.scenario,
        explain=wishes.explain,
        cursor=wishes.cursor,
        after=wishes.after,
        wait_ms=wishes.wait_ms,
    )
    return answered(await answer(replica_of(request), asked))


router.add_api_route(
    "/v1/users/{user_id:path}/recommendations",
    recommend_for_user,
    route_class_override=quick(Wishes, "wishes"),
    **documented(Recommendations, example=EXAMPLE),
)


@router.post("/v1/recommendations", **documented(Recommendations, BODY, EXAMPLE))
async def recommend(request: Request) -> Response:
    """A slate with a history brought along, filters, boosts, exclusions, diversity or a page to go on from."""
    return answered(await answer(replica_of(request), await body_of(request, RecommendRequest)))

"""GET and POST of recommendations."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from domain.answers import ProfileSummary, Recommendations, RecommendedItem
from serving.requests import DEFAULT_WAIT_MS, RecommendRequest, answer
from serving.routes.common import answered, body_of, documented, replica_of

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


@router.get("/v1/users/{user_id:path}/recommendations", **documented(Recommendations, example=EXAMPLE))
async def recommend_for_user(  # noqa: PLR0913, PLR0917  (the parameters of the contract)
    request: Request,
    user_id: str,
    count: Annotated[int, Query(description="how many items")] = 10,
    scenario: Annotated[str, Query(max_length=64, description="where the slate is shown; kept with the exposure")] = "",
    explain: Annotated[bool, Query(description="adds each feature's part of the score")] = False,
    cursor: Annotated[str | None, Query(max_length=64, description="the previous answer's next_cursor")] = None,
    after: Annotated[
        str | None, Query(max_length=64, description="wait for this event's token to be reflected")
    ] = None,
    wait_ms: Annotated[int, Query(ge=0, description="how long to wait for it")] = DEFAULT_WAIT_MS,
) -> Response:
    """The user's slate now. An unknown user is a cold start with a named fallback, never an error."""
    asked = RecommendRequest(
        user_id=user_id,
        count=count,
        scenario=scenario,
        explain=explain,
        cursor=cursor,
        after=after,
        wait_ms=wait_ms,
    )
    return answered(await answer(replica_of(request), asked))


@router.post("/v1/recommendations", **documented(Recommendations, BODY, EXAMPLE))
async def recommend(request: Request) -> Response:
    """A slate with a history brought along, filters, boosts, exclusions, diversity or a page to go on from."""
    return answered(await answer(replica_of(request), await body_of(request, RecommendRequest)))

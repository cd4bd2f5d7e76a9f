"""What is remembered of a user."""

from collections import Counter

from fastapi import APIRouter, Request
from fastapi.responses import Response

from domain.answers import HistoryEntry, ProfileAnswer
from domain.profile import EMPTY
from serving.query import Query
from serving.routes.common import answered, documented, replica_of

router = APIRouter(tags=["users"])

EXAMPLE = ProfileAnswer(
    user_id="42",
    interactions=1,
    as_of=891717742000,
    opted_out=False,
    history=[HistoryEntry(item_id="50", title="Star Wars (1977)", type="rating", event_time=891717742000, value=5.0)],
    interests=1,
    categories={"Sci-Fi": 1.0},
)


@router.get("/v1/users/{user_id:path}/profile", **documented(ProfileAnswer, example=EXAMPLE))
async def profile(request: Request, user_id: str) -> Response:
    """The user's remembered interactions, the newest first; empty for someone unknown."""
    replica = replica_of(request)
    stored = replica.model.profile(user_id) or EMPTY
    query = Query(user_id, 1, replica.clock(), stored.touches, replica.model)
    history = [
        HistoryEntry(
            item_id=touch.item_id,
            title=replica.model.catalogue.title(int(row)) if row >= 0 else "",
            type=touch.type,
            event_time=touch.event_time,
            value=touch.value,
        )
        for touch, row in zip(reversed(stored.touches), reversed(query.rows.tolist()), strict=True)
    ]
    return answered(
        ProfileAnswer(
            user_id=user_id,
            interactions=len(history),
            as_of=stored.touches[-1].event_time if stored.touches else None,
            opted_out=stored.opted_out,
            history=history,
            interests=len(query.interests),
            categories=_affinities(query),
        )
    )


def _affinities(query: Query) -> dict[str, float]:
    """Shares of the user's pull by category, the strongest first; dislikes count against."""
    pulls: Counter[str] = Counter()
    for row, weight in zip(query.rows.tolist(), query.weights.tolist(), strict=True):
        item = query.model.catalogue.items[row] if row >= 0 else None
        for category in item.categories if item else ():
            pulls[category] += weight / len(item.categories if item else "-")
    total = sum(pull for pull in pulls.values() if pull > 0) or 1.0
    return {category: round(pull / total, 4) for category, pull in pulls.most_common()}

"""Lists that are not personal: similar items, what trends, search."""

import asyncio
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from numpy.typing import NDArray

from domain.answers import FoundItem, FoundItems
from domain.errors import EmbeddingError, QueryError, UnknownItem
from serving import metrics
from serving.behaviour import TREND
from serving.catalogue import Catalogue
from serving.numbering import Rows
from serving.routes.common import answered, documented, limited, replica_of

router = APIRouter(tags=["items"])

EXAMPLE = FoundItems(items=[FoundItem(item_id="181", title="Return of the Jedi (1983)", score=0.83)])
Count = Annotated[int, Query(description="how many items")]


@router.get("/v1/items/trending", **documented(FoundItems, example=EXAMPLE))
async def trending(
    request: Request,
    count: Count = 10,
    category: Annotated[str | None, Query(max_length=128, description="in this category only")] = None,
) -> Response:
    """What is touched most, the past decaying fast; `score` is the share of the most popular one's."""
    replica = replica_of(request)
    limited("count", count, replica.settings.max_count)
    catalogue = replica.model.catalogue
    behaviour, now_ms = replica.model.behaviour, replica.clock()
    if category is not None:
        rows = _shown(catalogue, np.fromiter(catalogue.by_category.get(category, ()), np.int64), now_ms)
    else:
        rows = _shown(catalogue, behaviour.trending(), now_ms)
        if len(rows) < count:  # those that trend most cannot be shown: everything is looked through
            rows = _shown(catalogue, np.arange(len(catalogue)), now_ms)
    popularity = behaviour.popularity[TREND][rows]
    order = np.lexsort((catalogue.tie[rows], -popularity))[:count]
    order = order[np.isfinite(popularity[order])]
    highest = popularity[order[0]] if len(order) else 0.0
    return answered(_found(catalogue, rows[order], np.exp2(popularity[order] - highest)))


@router.get("/v1/items/{item_id:path}/similar", **documented(FoundItems, example=EXAMPLE))
async def similar(request: Request, item_id: str, count: Count = 10) -> Response:
    """What reads most like an item; `score` is the cosine of their texts."""
    replica = replica_of(request)
    limited("count", count, replica.settings.max_count)
    catalogue = replica.model.catalogue
    row = catalogue.rows.get(item_id, -1)
    if row < 0 or not catalogue.live[row]:
        raise UnknownItem(f"item_id: {item_id[:128]!r} is not in the catalogue")
    return answered(_nearest(catalogue, catalogue.vectors[row], count, replica.clock(), without=row))


@router.get("/v1/search", **documented(FoundItems, example=EXAMPLE))
async def search(
    request: Request, q: Annotated[str, Query(description="what to look for, in words")], count: Count = 10
) -> Response:
    """Items whose text is closest in meaning to the words; `score` is the cosine."""
    replica = replica_of(request)
    limited("count", count, replica.settings.max_count)
    if not 1 <= len(q.strip()) <= 1000:
        raise QueryError(f"q: between 1 and 1000 characters, got {len(q.strip())}")
    if replica.encoder is None:
        raise EmbeddingError("search is switched off here (FRESHET_SEARCH=false)")
    with metrics.search_encoding_seconds.time():
        vector = (await asyncio.to_thread(replica.encoder.encode, [q]))[0]
    return answered(_nearest(replica.model.catalogue, vector, count, replica.clock()))


def _shown(catalogue: Catalogue, rows: Rows, now_ms: int) -> Rows:
    """Returns those of some rows that may be shown."""
    in_time = (catalogue.expires_ms[rows] > now_ms) & (catalogue.published_ms[rows] <= now_ms)
    return rows[catalogue.live[rows] & catalogue.available[rows] & in_time]


def _nearest(
    catalogue: Catalogue, vector: NDArray[np.float32], count: int, now_ms: int, without: int = -1
) -> FoundItems:
    if not np.any(vector):
        return FoundItems(items=[])  # an item without a text resembles nothing
    query = vector[None].astype(np.float32)
    scores, rows = catalogue.index.search(query, 2 * count + 1)
    if len(_others(catalogue, rows[0], now_ms, without)) < min(count, len(catalogue.index)):
        # Many that are near cannot be shown. A mask of all that can is as long as the catalogue.
        allowed = np.zeros(len(catalogue), np.bool_)
        allowed[_others(catalogue, np.arange(len(catalogue)), now_ms, without)] = True
        scores, rows = catalogue.index.search(query, count, allowed)
    kept = np.isin(rows[0], _others(catalogue, rows[0], now_ms, without))
    return _found(catalogue, rows[0][kept][:count], scores[0][kept][:count])


def _others(catalogue: Catalogue, rows: Rows, now_ms: int, without: int) -> Rows:
    return _shown(catalogue, rows[(rows >= 0) & (rows != without)], now_ms)


def _found(
    catalogue: Catalogue,
    rows: Rows,
    scores: NDArray[np.float64] | NDArray[np.float32],
) -> FoundItems:
    return FoundItems(
        items=[
            FoundItem(item_id=catalogue.ids[row], title=catalogue.title(row), score=round(float(score), 6))
            for row, score in zip(rows.tolist(), scores.tolist(), strict=True)
        ]
    )

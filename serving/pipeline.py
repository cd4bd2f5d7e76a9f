"""The request path: sources, filters, features, scorer, selectors, in that order, over the read model.

The API, the playground, the live meter and the backtest all call `recommend`; there is no second path.
"""

from dataclasses import dataclass, field
from time import perf_counter
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from learning.ranker import standardised
from serving import metrics
from serving.features import matrix
from serving.filters.attributes import matches
from serving.numbering import best_first
from serving.query import Query
from serving.reasons import explain
from serving.retrieval import retrieve
from serving.scorers.ranked import parts
from serving.selectors import diversity
from serving.selectors.exploration import Exploration, explore

_NO_ROWS = np.empty(0, np.int64)
_features_seconds, _ranker_seconds = (metrics.stage_seconds.labels(name) for name in ("features", "ranker"))


@dataclass
class Picked:
    """One item of a slate. `parts` add up to the score before boosts and rotation."""

    row: int
    score: float
    source: str
    reasons: list[str]
    parts: dict[str, float]
    propensity: float = 1.0
    explored: bool = False
    under: dict[str, float] | None = None


@dataclass
class Slate:
    """What a query came to.

    Attributes:
        items: in order; empty if nothing was left, and then `removed` says why.
        fallback: what stood in for a personal slate, or None.
        more: whether there are candidates beyond this page.
        degraded: sources that failed or were late.
        removed: how many candidates each filter took out.
        rows: (C,) int64, every candidate that survived the filters.
        candidates: (C, F) their standardised features, for the ranker to learn from.
        limit: how many candidates of a source they were chosen from; a further page goes on from as many.
        order: (C,) places in `rows`, best first, as selected: a page is a part of it. For the judge.
    """

    items: list[Picked] = field(default_factory=list)
    fallback: str | None = None
    more: bool = False
    degraded: list[str] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    rows: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)
    candidates: NDArray[np.float32] = field(default_factory=lambda: np.empty((0, 0), np.float32))
    limit: int = 0
    order: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)


def recommend(query: Query) -> Slate:
    """Answers one query from the read model. A user nobody knows gets what trends, and the answer says so."""
    look = retrieve(query)
    slate = Slate(
        fallback=None if query.recent else "trending",
        degraded=[f"{source}: {how}" for source, how in look.degraded.items()],
        removed=look.removed,
        rows=look.rows,
        limit=look.limit,
    )
    if not len(slate.rows):
        return slate
    began = perf_counter()
    slate.candidates = standardised(matrix(query, slate.rows))
    described = perf_counter()
    scores = query.model.ranker().scores(slate.candidates, query.context)
    _features_seconds.observe(described - began)
    _ranker_seconds.observe(perf_counter() - described)
    scores = _rotated(query, _boosted(query, slate.rows, scores))
    chosen = _selected(query, slate, scores)
    slate.more = len(slate.rows) > query.offset + query.count
    slate.items = _page(query, slate, scores, chosen)
    return slate


def _page(query: Query, slate: Slate, scores: NDArray[np.float32], chosen: Exploration | None) -> list[Picked]:
    """Returns the items of the page that was asked for, explained."""
    places = slate.order[query.offset : query.offset + query.count]
    rows = slate.rows[places]
    own = parts(query.model.ranker(), slate.candidates[places], query.context)
    said = explain(query, rows, own) if query.reasons else [("", [])] * len(rows)
    found = [
        Picked(row, score, *why, split)
        for row, score, why, split in zip(rows.tolist(), scores[places].tolist(), said, own, strict=True)
    ]
    if chosen is not None:
        for slot, picked in enumerate(found):
            picked.propensity, picked.explored = float(chosen.propensities[slot]), bool(chosen.explored[slot])
            picked.under = chosen.others(slot)
            if picked.explored and query.reasons:
                picked.source, picked.reasons = "exploration", ["shown to find out: few have tried it"]
    return found


def _selected(query: Query, slate: Slate, scores: NDArray[np.float32]) -> Exploration | None:
    """Sets the slate's order: by score, spread by the diversity selector, with the slots that explore."""
    catalogue, settings = query.model.catalogue, query.model.settings
    explores = query.explore_share > 0 and settings.explore_policy != "greedy"
    wanted = query.offset + query.count * (2 if explores else 1)  # of which exploring may take a page's away
    order = slate.order = best_first(scores)  # equal ones stay in the order of their ids' hash
    if query.diversity <= 0 and not explores:
        return None
    vectors = catalogue.vectors[slate.rows[order]] if query.diversity > 0 else np.empty((len(order), 0), np.float32)
    spread = diversity.select(scores[order], vectors, wanted, query.diversity, query.count)
    slate.order = _beginning_with(spread, order)
    if not explores:
        return None
    first = _beginning_with(spread[: query.count], order)
    counts = query.model.behaviour.counts(query.now_ms, slate.rows[first])
    uncertainty = (max(float(scores.std()), 1e-3) / np.sqrt(1 + counts)).astype(np.float32)
    # The first page explores; those after it go on in order, so that none repeats what it showed.
    chosen = explore(
        scores[first], uncertainty, query.count, query.explore_share, settings.explore_policy, _dice(query, 1)
    )
    page = first[chosen.places]
    slate.order = np.concatenate([page, slate.order[~np.isin(slate.order, page)]])
    return chosen if query.offset == 0 else None


def _beginning_with(places: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
    """Returns an order with what lies at some of its places first, and the rest after it."""
    return np.concatenate([order[places], np.delete(order, places)])


def _boosted(query: Query, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scores are log-odds: adding log(factor) multiplies an item's odds of being chosen by it."""
    items = query.model.catalogue.items
    for boost in query.boost:
        hit = [(item := items[row]) is not None and matches(item, boost.filter) for row in rows]
        scores = np.where(hit, scores + np.float32(np.log(boost.factor)), scores)
    return scores


def _rotated(query: Query, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stirs the order so that a user who comes back sees something else."""
    if query.rotation <= 0:
        return scores
    noise = _dice(query, 0).gumbel(size=len(scores)).astype(np.float32)
    return scores + np.float32(query.rotation * float(scores.std())) * noise


def _dice(query: Query, purpose: int) -> np.random.Generator:
    """Chance as a function of what is known of the user and of the hour, so that a slate can be had again."""
    known = query.touches[-1].event_id if query.touches else ""
    return np.random.default_rng(crc32(f"{purpose}\0{query.user_id}\0{known}\0{query.now_ms // 3_600_000}".encode()))

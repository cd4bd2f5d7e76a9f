"""The request path: sources, filters, features, scorer, selector, in that order, over the read model.

The API, the playground, the live meter and the backtest all call `recommend`; there is no second path.
"""

import logging
from dataclasses import dataclass, field
from time import perf_counter
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from serving import metrics
from serving.features import FEATURES
from serving.filters import FILTERS
from serving.filters.attributes import matches
from serving.query import Query
from serving.reasons import explain
from serving.scorers import blend
from serving.selectors import diversity
from serving.sources import SOURCES

log = logging.getLogger(__name__)


@dataclass
class Picked:
    """One item of a slate. `parts` add up to the score before boosts and rotation."""

    row: int
    score: float
    source: str
    reasons: list[str]
    parts: dict[str, float]


@dataclass
class Slate:
    """What a query came to.

    Attributes:
        items: in order; empty if nothing was left, and then `removed` says why.
        fallback: what stood in for a personal slate, or None.
        more: whether there are candidates beyond this page.
        degraded: sources that failed or were late.
        removed: how many candidates each filter took out.
        ranked: every candidate's row that survived, best first; for the judge.
    """

    items: list[Picked]
    fallback: str | None = None
    more: bool = False
    degraded: list[str] = field(default_factory=list)
    removed: dict[str, int] = field(default_factory=dict)
    ranked: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


def recommend(query: Query) -> Slate:
    """Answers one query from the read model. A user nobody knows gets what trends, and the answer says so."""
    slate = Slate([], fallback=None if len(query.recent) else "trending")
    rows = _candidates(query, slate)
    rows = _filtered(query, rows, slate)
    if not len(rows):
        return slate
    features = {name: compute(query, rows) for name, compute in FEATURES.items()}
    scores, parts = blend.score(features, query.model.settings)
    scores = _rotated(query, _boosted(query, rows, scores))
    order = np.lexsort((query.model.catalogue.tie[rows], -scores))
    slate.ranked = rows[order]
    wanted = query.offset + query.count
    places = diversity.select(scores[order], query.model.catalogue.vectors[slate.ranked], wanted, query.diversity)
    slate.more = len(rows) > wanted
    for place in order[places[query.offset :]]:
        own = {name: float(part[place]) for name, part in parts.items()}
        source, reasons = explain(query, int(rows[place]), own)
        slate.items.append(Picked(int(rows[place]), float(scores[place]), source, reasons, own))
    return slate


def _candidates(query: Query, slate: Slate) -> NDArray[np.int64]:
    """Runs the sources within their budget and returns the distinct rows they gave, ascending."""
    limit = max(query.model.settings.candidates_per_source, query.offset + query.count)
    found: list[NDArray[np.int64]] = []
    started = perf_counter()
    for name, retrieve in SOURCES.items():
        if (perf_counter() - started) * 1000 > query.model.settings.source_budget_ms:
            _degrade(slate, name, "late")
            continue
        try:
            with metrics.source_seconds.labels(name).time():
                rows = retrieve(query, limit)
        except Exception:
            log.exception("source %s failed", name)
            _degrade(slate, name, "failed")
            continue
        metrics.candidates.labels(name).inc(len(rows))
        found.append(rows)
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.int64)


def _degrade(slate: Slate, source: str, how: str) -> None:
    slate.degraded.append(f"{source}: {how}")
    metrics.source_failures.labels(source, how).inc()


def _filtered(query: Query, rows: NDArray[np.int64], slate: Slate) -> NDArray[np.int64]:
    for name, keep in FILTERS.items():
        kept = keep(query, rows)
        removed = len(rows) - int(kept.sum())
        if removed:
            slate.removed[name] = removed
            metrics.removed.labels(name).inc(removed)
        rows = rows[kept]
    return rows


def _boosted(query: Query, rows: NDArray[np.int64], scores: NDArray[np.float32]) -> NDArray[np.float32]:
    items = query.model.catalogue.items
    for boost in query.boost:
        hit = [(item := items[row]) is not None and matches(item, boost.filter) for row in rows]
        scores = np.where(hit, scores * np.float32(boost.factor), scores)
    return scores


def _rotated(query: Query, scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stirs the order so that a user who comes back sees something else; a function of what is known of them."""
    if query.rotation <= 0 or not len(scores):
        return scores
    known = query.touches[-1].event_id if query.touches else ""
    seed = crc32(f"{query.user_id}\0{known}\0{query.now_ms // 3_600_000}".encode())
    noise = np.random.default_rng(seed).gumbel(size=len(scores)).astype(np.float32)
    return scores + np.float32(query.rotation * float(scores.std())) * noise

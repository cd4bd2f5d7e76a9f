"""The first half of the request path: what the sources find and the filters leave. Looks further where that is little.

All pages of a request are cut from one order: how far the first one looked goes on in its cursor.
"""

import logging
from dataclasses import dataclass, field
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from serving import metrics
from serving.filters import FILTERS, OF_THE_REQUEST
from serving.numbering import by_tie
from serving.query import Query
from serving.sources import SOURCES

log = logging.getLogger(__name__)

ENOUGH = 50
"""A request's own filters should leave so many, or there is little to choose from."""

WIDEST = 5_000
"""Where they leave fewer, sources are asked for more, up to so many each: bounded, whatever the catalogue's size."""

_NO_ROWS = np.empty(0, np.int64)
_seconds = {name: metrics.source_seconds.labels(name) for name in SOURCES}  # looked up once: it takes a lock
_candidates = {name: metrics.candidates.labels(name) for name in SOURCES}
_removed = {name: metrics.removed.labels(name) for name in FILTERS}


@dataclass
class Look:
    """What one look at the sources came to.

    Attributes:
        rows: (C,) int64, distinct: every candidate that survived the filters, in the order of a hash of the ids.
        found: how many each source gave.
        removed: how many each filter took out, where it took any.
        degraded: what was wrong with a source, `failed` or `late`, where something was.
        limit: how many a source was asked for.
    """

    rows: NDArray[np.int64] = field(default_factory=lambda: _NO_ROWS)
    found: dict[str, int] = field(default_factory=dict)
    removed: dict[str, int] = field(default_factory=dict)
    degraded: dict[str, str] = field(default_factory=dict)
    limit: int = 0


def retrieve(query: Query) -> Look:
    """Returns the candidates of a query.

    Where what it asks to leave out, `exclude` and `filter`, takes so many that few are left, the sources are asked for
    more, once, as far as there is time for it.
    """
    settings = query.model.settings
    late_s = perf_counter() + settings.source_budget_ms / 1000
    enough = max(ENOUGH, query.count)
    look = _look(query, query.limit or max(settings.candidates_per_source, query.count), late_s)
    too_few = len(look.rows) < enough and not look.removed.keys().isdisjoint(OF_THE_REQUEST)
    may_find_more = not query.limit and look.limit < min(WIDEST, len(query.model.catalogue))
    if too_few and may_find_more and perf_counter() < late_s:
        look = _wider(query, look, enough, late_s)
    _count(look)
    return look


def _wider(query: Query, look: Look, enough: int, late_s: float) -> Look:
    """Looks once more, for as many as the share that passed says, four times over: some sources know no more."""
    more = 4 * enough // max(1, len(look.rows))
    wider = _look(query, min(look.limit * more, WIDEST), late_s)
    if len(wider.rows) <= len(look.rows):
        return look
    wider.degraded = look.degraded  # what only a further look had no time for is missing from no slate
    return wider


def _look(query: Query, limit: int, late_s: float) -> Look:
    look = Look(limit=limit)
    look.rows = _filtered(query, _found(query, limit, late_s, look), look)
    return look


def _found(query: Query, limit: int, late_s: float, look: Look) -> NDArray[np.int64]:
    """Runs the sources until they are late and returns the distinct rows they gave."""
    off, found = query.model.settings.disabled, [_NO_ROWS]
    for name, source in SOURCES.items():
        if name in off:
            continue
        if any(look.found.values()) and perf_counter() > late_s:  # an empty slate in time serves nobody
            look.degraded[name] = "late"
            continue
        began = perf_counter()
        try:
            found.append(source(query, limit))
        except Exception:
            log.exception("source %s failed", name)
            look.degraded[name] = "failed"
            continue
        finally:
            _seconds[name].observe(perf_counter() - began)
        look.found[name] = len(found[-1])
    catalogue = query.model.catalogue
    rows = catalogue.numbering.distinct(np.concatenate(found))
    # In the order of a hash of the ids, not of arrival: every replica adds in the same order.
    return by_tie(rows, catalogue.tie.take(rows))


def _filtered(query: Query, rows: NDArray[np.int64], look: Look) -> NDArray[np.int64]:
    for name, keep in FILTERS.items():
        kept = keep(query, rows)
        removed = len(rows) - int(np.count_nonzero(kept))
        if removed:
            look.removed[name] = removed
            rows = rows[kept]
    return rows


def _count(look: Look) -> None:
    for source, count in look.found.items():
        _candidates[source].inc(count)
    for name, count in look.removed.items():
        _removed[name].inc(count)
    for source, how in look.degraded.items():
        metrics.source_failures.labels(source, how).inc()

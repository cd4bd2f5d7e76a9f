"""Why an item is in a slate, in words for people. Each sentence is checked against the evidence it names."""

from collections.abc import Mapping

import numpy as np

from domain.profile import Touch
from serving.behaviour import TREND
from serving.query import Query

WORTH_SAYING = 0.1
"""A part below this share of the score explains nothing."""

ALIKE = 0.35
"""Cosine from which two texts may be called similar. MiniLM gives unrelated titles about 0.1."""

VERBS = {
    "view": "looked at",
    "click": "clicked",
    "cart": "put in the cart",
    "purchase": "bought",
    "like": "liked",
    "rating": "rated",
}


def explain(query: Query, row: int, parts: Mapping[str, float]) -> tuple[str, list[str]]:
    """Returns the feature that spoke most for an item, and the reasons, the weightiest first; at least one."""
    ranked = sorted(parts.items(), key=lambda pair: -pair[1])
    total = sum(max(part, 0.0) for part in parts.values())
    reasons = [
        sentence
        for name, part in ranked
        if part > WORTH_SAYING * total and (sentence := _SENTENCES[name](query, row)) is not None
    ]
    source = ranked[0][0] if total > 0 else "popularity"
    return source, reasons or ["in the catalogue"]


def _covisitation(query: Query, row: int) -> str | None:
    """Names the recent item that led here most strongly."""
    lag = query.covisits.led_by(row) if query.recent else None
    return None if lag is None else f"because you {_deed(query, query.recent[lag])}"


def _profile(query: Query, row: int) -> str | None:
    """Names the liked item whose text is closest, or one that is close and goes with what the user did lately."""
    liked, vectors = query.liked
    if not len(liked):
        return None
    cosines = vectors @ query.model.catalogue.vectors[row]
    at = int(np.argmax(cosines))
    if cosines[at] < ALIKE:
        return _expected(query, row)
    known = liked[at]
    title = query.model.catalogue.title(int(query.rows[known]))
    return f"similar to {title}, which you {_verb(query.touches[known])}"


def _expected(query: Query, row: int) -> str | None:
    """Names an item whose text is close, and the recent one that led to it."""
    catalogue = query.model.catalogue
    others = query.led_to[query.led_to != row]
    if not len(others):
        return None
    cosines = catalogue.vectors[others] @ catalogue.vectors[row]
    other = int(others[np.argmax(cosines)])
    lag = query.covisits.led_by(other)
    if cosines.max() < ALIKE or lag is None:
        return None
    after = catalogue.title(int(query.rows[query.recent[lag]]))
    return f"similar to {catalogue.title(other)}, which others chose with {after}"


def _popularity(query: Query, row: int) -> str | None:
    """Names the item's category in which it is among the tenth that trends, or says how it stands overall."""
    catalogue = query.model.catalogue
    trend = query.model.behaviour.popularity[TREND]
    if not np.isfinite(trend[row]):
        return None
    item = catalogue.items[row]
    for category in item.categories if item else ():
        if trend[row] >= query.model.behaviour.trending_from(category):
            return f"trending in {category}"
    return "trending now" if trend[row] >= query.model.behaviour.trending_from(None) else "others like it"


def _fresh(query: Query, row: int) -> str | None:
    """Says since when the item is there, if that is new."""
    days = int((query.now_ms - query.model.catalogue.published_ms[row]) // 86_400_000)
    if days >= query.model.settings.fresh_days:
        return None
    return "new today" if days < 1 else f"new: {days} day{'s' if days > 1 else ''} ago"


def _sequence(query: Query, row: int) -> str | None:
    """Names what the user did last, which the sequence model goes on from."""
    return (
        f"a next step after {query.model.catalogue.title(int(query.rows[query.recent[0]]))}" if query.recent else None
    )


def _kind(query: Query, row: int) -> str | None:
    """Names a category that the item shares with several of the user's recent items."""
    items = query.model.catalogue.items
    own = items[row]
    recent = [item for at in query.recent[:10] if (item := items[int(query.rows[at])]) is not None]
    for category in own.categories if own else ():
        if sum(category in item.categories for item in recent) >= 2:
            return f"more {category}, as you chose lately"
    return None


_SENTENCES = {
    "covisitation": _covisitation,
    "sequence": _sequence,
    "popularity": _popularity,
    "profile": _profile,
    "kind": _kind,
    "fresh": _fresh,
}


def _deed(query: Query, at: int) -> str:
    return f"{_verb(query.touches[at])} {query.model.catalogue.title(int(query.rows[at]))}"


def _verb(touch: Touch) -> str:
    return VERBS.get(touch.type, f"({touch.type})")

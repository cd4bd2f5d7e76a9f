"""Why an item is in a slate, in words for people. Each sentence is checked against the evidence it names."""

from collections.abc import Mapping, Sequence
from math import isfinite
from operator import itemgetter
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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


class Shown(NamedTuple):
    """An item of a slate: its row, and how many items back the recent one lies that led to it, if one did."""

    row: int
    led_by: int | None


def explain(query: Query, rows: NDArray[np.int64], parts: Sequence[Mapping[str, float]]) -> list[tuple[str, list[str]]]:
    """Returns for each item of a page the feature that spoke most for it, and the reasons, the weightiest first.

    There is at least one reason. `parts` are those of each item's score.
    """
    every = zip(rows.tolist(), _led_by(query, rows), parts, strict=True)
    return [_explained(query, Shown(row, led), own) for row, led, own in every]


def _explained(query: Query, shown: Shown, parts: Mapping[str, float]) -> tuple[str, list[str]]:
    for_it = sorted([(name, part) for name, part in parts.items() if part > 0], key=itemgetter(1), reverse=True)
    least = WORTH_SAYING * sum([part for _, part in for_it])
    reasons = [
        sentence for name, part in for_it if part > least and (sentence := _SENTENCES[name](query, shown)) is not None
    ]
    source = for_it[0][0] if for_it else "popularity"
    return source, reasons or ["in the catalogue"]


def _led_by(query: Query, rows: NDArray[np.int64]) -> list[int | None]:
    if not query.recent or not len(rows):
        return [None] * len(rows)
    return query.covisits.led_by(rows, query.model.catalogue.numbering)


def _covisitation(query: Query, shown: Shown) -> str | None:
    """Names the recent item that led here most strongly."""
    return None if shown.led_by is None else f"because you {_deed(query, query.recent[shown.led_by])}"


def _profile(query: Query, shown: Shown) -> str | None:
    """Names the liked item whose text is closest, or one that is close and goes with what the user did lately."""
    liked, vectors = query.liked
    cosines = vectors @ query.model.catalogue.vectors[shown.row]
    if cosines.max(initial=-1) < ALIKE:
        return _expected(query, shown) if query.recent else None
    touched = int(liked[cosines.argmax()])
    title = query.model.catalogue.title(int(query.rows[touched]))
    return f"similar to {title}, which you {_verb(query.touches[touched])}"


def _expected(query: Query, shown: Shown) -> str | None:
    """Names an item whose text is close, and the recent one that led to it."""
    catalogue, (others, vectors) = query.model.catalogue, query.led_to
    cosines = np.where(others == shown.row, -1, vectors @ catalogue.vectors[shown.row])
    if cosines.max(initial=-1) < ALIKE:
        return None
    closest = int(np.argmax(cosines))
    (lag,) = _led_by(query, others[closest : closest + 1])
    if lag is None:
        return None
    after = catalogue.title(int(query.rows[query.recent[lag]]))
    return f"similar to {catalogue.title(int(others[closest]))}, which others chose with {after}"


def _popularity(query: Query, shown: Shown) -> str | None:
    """Names the item's category in which it is among the tenth that trends, or says how it stands overall."""
    catalogue = query.model.catalogue
    trend = query.model.behaviour.popularity.item(TREND, shown.row)
    if not isfinite(trend):
        return None
    item = catalogue.items[shown.row]
    for category in item.categories if item else ():
        if trend >= query.model.behaviour.trending_from(category):
            return f"trending in {category}"
    return "trending now" if trend >= query.model.behaviour.trending_from(None) else "others like it"


def _fresh(query: Query, shown: Shown) -> str | None:
    """Says since when the item is there, if that is new."""
    days = int((query.now_ms - query.model.catalogue.published_ms.item(shown.row)) // 86_400_000)
    if days >= query.model.settings.fresh_days:
        return None
    return "new today" if days < 1 else f"new: {days} day{'s' if days > 1 else ''} ago"


def _sequence(query: Query, shown: Shown) -> str | None:
    """Names what the user did last, which the sequence model goes on from."""
    return (
        f"a next step after {query.model.catalogue.title(int(query.rows[query.recent[0]]))}" if query.recent else None
    )


def _kind(query: Query, shown: Shown) -> str | None:
    """Names a category that the item shares with several of the user's recent items."""
    items = query.model.catalogue.items
    own = items[shown.row]
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

"""The exposure: what a slate showed, and how likely each item was to be shown. The `exposures` topic."""

from typing import Annotated

import msgspec
from msgspec import Meta


class ExposedItem(msgspec.Struct, frozen=True):
    """One item of a slate.

    Attributes:
        item_id: what was shown.
        position: where, from 0, over all pages.
        score: what it was ranked by; higher is better.
        source: what found it.
        propensity: the probability that it was shown at all, in any slot, under the policy that ran.
        explored: whether it was drawn by chance.
        under: the same probability under each other policy that would have had another; null where none would.
    """

    item_id: str
    position: int
    score: float
    source: str
    propensity: Annotated[float, Meta(gt=0, le=1)] = 1.0
    explored: bool = False
    under: dict[str, Annotated[float, Meta(ge=0, le=1)]] | None = None


class Exposure(msgspec.Struct, frozen=True, kw_only=True):
    """One slate as it was served. `shown_at` is epoch milliseconds; `fallback` is null when personal."""

    recommendation_id: str
    user_id: str
    shown_at: int
    scenario: str
    variant: str
    fallback: str | None
    items: list[ExposedItem]
    context: dict[str, str | float | bool | None] | None = None

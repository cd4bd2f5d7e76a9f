"""The exposure: what a slate showed, and how likely each item was to be shown. The `exposures` topic."""

import msgspec


class ExposedItem(msgspec.Struct, frozen=True):
    """One item of a slate. `propensity` is the probability that it was shown at all, in (0, 1]."""

    item_id: str
    position: int
    score: float
    source: str
    propensity: float = 1.0


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

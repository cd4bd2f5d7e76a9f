"""What the interactions of one partition say about an item: decayed popularity and what came before it.

The owner of a partition of `interactions` keeps one `ItemSignals` for each item that its users touched and
writes it to the partition of the same number of `item-signals`; readers add the shares up. The update is a
function of the partition's records in offset order, and `position` says up to which record it has gone, so
a record that is delivered again changes nothing.
"""

from collections.abc import Mapping, Sequence

import msgspec

from domain.clock import DAY_MS
from domain.interactions import InteractionType, weight_of
from domain.profile import Touch

POPULARITY_HALF_LIVES_DAYS = (3.0, 30.0)
"""A fast and a slow memory: what trends, and what is well liked."""

LOOK_BACK = 10
"""How many of the user's items before an event count as having led to it."""

LAG_DECAY = 0.8
"""Each step further back counts this much less."""

PREDECESSORS_KEPT = 100
"""A share keeps this many predecessors of an item once it has half as many more, the heaviest first."""


class ItemSignals(msgspec.Struct, array_like=True):
    """One partition's share of the signals of one item.

    Attributes:
        position: highest offset of the source partition that is reflected.
        as_of_ms: the newest event time among them; `counts` are decayed to this moment.
        counts: one decayed count for each of POPULARITY_HALF_LIVES_DAYS.
        before: weight of each item that users touched shortly before this one.
    """

    position: int = -1
    as_of_ms: int = 0
    counts: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(POPULARITY_HALF_LIVES_DAYS))
    before: dict[str, float] = {}


def predecessors(touches: Sequence[Touch], touch: Touch, types: Mapping[str, InteractionType]) -> dict[str, float]:
    """Returns the items that led to `touch`, each with its weight, LAG_DECAY to the power of its lag.

    Args:
        touches: the profile's set before `touch`, ascending in time.
        touch: the interaction that was led to; only what is older than it counts.
        types: the interaction types; only those with a positive weight count.

    Returns:
        At most LOOK_BACK distinct items other than the touched one; the newest has weight 1. Empty for a
        user's first interaction.
    """
    led: dict[str, float] = {}
    for earlier in reversed(touches):
        if earlier < touch and earlier.item_id != touch.item_id and earlier.item_id not in led:
            if pulls(earlier, types):
                led[earlier.item_id] = LAG_DECAY ** len(led)
                if len(led) == LOOK_BACK:
                    break
    return led


def pulls(touch: Touch, types: Mapping[str, InteractionType]) -> bool:
    """Whether an interaction speaks for its item at all; a type that is no longer configured does not."""
    kind = types.get(touch.type)
    return kind is not None and weight_of(kind, touch.value) > 0


def learn(signals: ItemSignals, touch: Touch, led: Mapping[str, float]) -> None:
    """Adds one new interaction to its item's share, in place. Nothing happens below `signals.position`."""
    if touch.offset <= signals.position:
        return
    signals.position = touch.offset
    newest = max(signals.as_of_ms, touch.event_time)
    for index, days in enumerate(POPULARITY_HALF_LIVES_DAYS):
        aged = signals.counts[index] * halved(newest - signals.as_of_ms, days)
        signals.counts[index] = aged + halved(newest - touch.event_time, days)
    signals.as_of_ms = newest
    for item_id, weight in led.items():
        signals.before[item_id] = signals.before.get(item_id, 0.0) + weight
    if len(signals.before) > PREDECESSORS_KEPT * 1.5:
        heaviest = sorted(signals.before.items(), key=lambda pair: (-pair[1], pair[0]))
        signals.before = dict(heaviest[:PREDECESSORS_KEPT])


def halved(age_ms: float, half_life_days: float) -> float:
    """Returns 2^(-age / half life)."""
    return float(2.0 ** (-age_ms / (half_life_days * DAY_MS)))

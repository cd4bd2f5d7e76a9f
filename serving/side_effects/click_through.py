"""Click-through: how much of what was shown is chosen, per variant and scenario, whichever way the choice comes in.

A replica remembers what it showed, and sees every choice as the profiles arrive. So each replica counts for its
own slates, and the sums over replicas are the deployment's. Which slate a choice came from is decided as `freshet
learn` does: the newest that holds the item and was shown within WINDOW_MS before it.
"""

from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from prometheus_client import Counter

from domain.exposures import Exposure
from domain.interactions import InteractionType
from domain.profile import Profile, Touch
from learning.signals import pulls
from serving import metrics

WINDOW_MS = 1_800_000
"""Half an hour: after so long without an event a session is customarily over, and a slate with it."""

SLATES = 5
"""A user's newest slates that are remembered."""

USERS = 10_000
"""Users whose slates are remembered, those who were shown something last: some 20 MB at ten items a slate."""

SCENARIOS = 20
"""Scenarios with figures of their own. Callers name them as they like, and each name costs Prometheus two series."""


@dataclass(slots=True)
class _Slate:
    at_ms: int
    open: set[str]
    chosen: Counter


@dataclass(slots=True)
class _Reader:
    """One user: the newest slates, and how far their choices have been counted."""

    slates: deque[_Slate] = field(default_factory=lambda: deque(maxlen=SLATES))
    position: int = -1


class ClickThrough:
    """Counts shown items, and those among them that were chosen, each once a slate."""

    def __init__(self, types: Mapping[str, InteractionType], users: int = USERS) -> None:
        self._types = types
        self._users = users
        self._readers: OrderedDict[str, _Reader] = OrderedDict()
        self._counters: dict[tuple[str, str], tuple[Counter, Counter]] = {}

    def shown(self, exposure: Exposure) -> None:
        """Remembers a slate."""
        shown, chosen = self._counters_of(exposure.variant, exposure.scenario)
        shown.inc(len(exposure.items))
        reader = self._readers.get(exposure.user_id)
        if reader is None:
            reader = self._readers[exposure.user_id] = _Reader()
            if len(self._readers) > self._users:
                self._readers.popitem(last=False)
        else:
            self._readers.move_to_end(exposure.user_id)
        reader.slates.append(_Slate(exposure.shown_at, {one.item_id for one in exposure.items}, chosen))

    def applied(self, user_id: str, profile: Profile) -> None:
        """Counts what is new in a user's profile; does nothing for those who were shown nothing lately."""
        reader = self._readers.get(user_id)
        if reader is None:
            return
        if not profile.touches:  # erased: what they were shown is forgotten as well
            del self._readers[user_id]
            return
        for touch in profile.touches:
            if touch.offset > reader.position and pulls(touch, self._types):
                _count(touch, reader)
        reader.position = profile.position

    def _counters_of(self, variant: str, scenario: str) -> tuple[Counter, Counter]:
        key = (variant, scenario)
        found = self._counters.get(key)
        if found is None:
            label = scenario or "none"
            if len(self._counters) >= SCENARIOS:
                key, label = (variant, ""), "other"
            labels = (variant, label)
            found = metrics.items_shown.labels(*labels), metrics.items_chosen.labels(*labels)
            self._counters[key] = found
        return found


def _count(touch: Touch, reader: _Reader) -> None:
    for slate in reversed(reader.slates):
        if touch.item_id in slate.open and 0 <= touch.event_time - slate.at_ms <= WINDOW_MS:
            slate.open.discard(touch.item_id)
            slate.chosen.inc()
            return

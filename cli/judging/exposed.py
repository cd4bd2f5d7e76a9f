"""Learning from what was really shown: the slates people saw lately, and what they chose among them."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cli.judging.world import World
from domain.exposures import Exposure
from domain.interactions import Interaction
from learning.ranker import Context, standardised
from serving.features import matrix

WINDOW_MS = 1_800_000
"""Half an hour: after so long without an event a session is customarily over, and a slate with it."""

SLATES = 5
"""A user's newest slates that are remembered."""

USERS = 10_000
"""Users whose slates are remembered, those who were shown something last: some 50 MB at ten items a slate."""

CAP = 10.0
"""The most that a choice counts: one over a tiny propensity would be one noisy leap (as clipped IPS)."""


@dataclass
class Shown:
    """A slate as its user saw it.

    Attributes:
        recommendation_id: which.
        at_ms: when, epoch milliseconds.
        rows: (n,) int64, what was shown.
        candidates: (n, F) float32, standardised over what was shown, as things stood when the exposure came.
        weights: (n,) one over the propensity, CAP at most.
        context: the ranker's, of the user at that moment.
        taken: rows that were chosen already.
    """

    recommendation_id: str
    at_ms: int
    rows: NDArray[np.int64]
    candidates: NDArray[np.float32]
    weights: NDArray[np.float64]
    context: Context
    taken: set[int] = field(default_factory=set)


class Exposed:
    """Remembers the newest slates of those who were shown something last, and teaches the ranker from choices."""

    def __init__(self, world: World, window_ms: int = WINDOW_MS, users: int = USERS) -> None:
        """Begins with nothing shown.

        Args:
            world: whose state the features are computed from, and whose ranker learns.
            window_ms: how long after a slate an interaction may be its doing.
            users: so many users are remembered.
        """
        self._world = world
        self._window_ms = window_ms
        self._users = users
        self._slates: OrderedDict[str, deque[Shown]] = OrderedDict()

    def __len__(self) -> int:
        """How many slates are remembered."""
        return sum(map(len, self._slates.values()))

    def note(self, exposure: Exposure) -> None:
        """Remembers a slate; one of fewer than two items that are known teaches nothing and is passed over."""
        shown = self._shown(exposure)
        if shown is None:
            return
        self._slates.setdefault(exposure.user_id, deque(maxlen=SLATES)).append(shown)
        self._slates.move_to_end(exposure.user_id)
        if len(self._slates) > self._users:
            self._slates.popitem(last=False)

    def learn(self, interaction: Interaction, target: int) -> bool:
        """Teaches the ranker that a row was chosen among what was shown.

        Args:
            interaction: a choice that was not learned from before.
            target: the row of its item.

        Returns:
            Whether it was shown within the window. Then it is dealt with, also if it taught nothing because
            the same item of that slate was chosen before.
        """
        shown = self._seen(interaction, target)
        if shown is None:
            return False
        if target not in shown.taken:
            shown.taken.add(target)
            at = int(np.flatnonzero(shown.rows == target)[0])
            self._world.model.ranker().learn(shown.candidates, at, shown.context, float(shown.weights[at]))
        return True

    def _seen(self, interaction: Interaction, target: int) -> Shown | None:
        """Returns the slate that the interaction names, else the newest that it can come from."""
        found = None
        for shown in self._slates.get(interaction.user_id, ()):
            if 0 <= interaction.time_ms - shown.at_ms <= self._window_ms and target in shown.rows:
                found = shown
                if shown.recommendation_id == interaction.recommendation_id:
                    break
        return found

    def _shown(self, exposure: Exposure) -> Shown | None:
        catalogue = self._world.model.catalogue
        known = {}
        for one in exposure.items:
            row = catalogue.rows.get(one.item_id)
            if row is not None and catalogue.live[row]:
                known[row] = min(CAP, 1 / one.propensity)
        if len(known) < 2:
            return None
        rows = np.array(list(known), np.int64)
        query = self._world.query(exposure.user_id, exposure.shown_at, count=len(rows))
        candidates = standardised(matrix(query, rows))
        weights = np.array(list(known.values()))
        return Shown(exposure.recommendation_id, exposure.shown_at, rows, candidates, weights, query.context)

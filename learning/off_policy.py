"""What another policy would have earned, told from the log of the one that ran: off-policy estimates.

Every exposed item carries the probability that it was shown and, where it differs, the probability that other
policies would have shown it. Weighting what was earned by the ratio of the two is right on average for any policy
that shows nothing which the one that ran could not. It takes an item's reward to depend on the item being in the
slate and not on its slot or its neighbours: the document-based click model (Li et al., Offline evaluation of ranking
policies with click models, KDD 2018, arXiv:1804.10488). Called by `freshet backtest --off-policy`.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from domain.exposures import Exposure
from domain.interactions import INTERACTION_TYPES, Interaction, InteractionType, weight_of
from learning.intervals import Interval, by_block, ratio_interval

LOGGED = "logged"
"""The name of the policy that ran, among the others."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """Exposed items and what came of them, slate after slate; all arrays are (N,).

    Attributes:
        slates: int64, the number of the item's slate, ascending from 0.
        propensities: in (0, 1], the probability that the policy that ran shows the item.
        rewards: 1 where the user took it up, else 0.
        under: the probability that each other policy would have shown the item.
    """

    slates: NDArray[np.int64]
    propensities: Floats
    rewards: Floats
    under: dict[str, Floats]


@dataclass(frozen=True)
class Estimate:
    """What a policy would have earned for each item that it shows: rewards per shown item.

    Attributes:
        slates: how many slates it is told from.
        ips: sum(w r) / N with w = target / logged propensity; unbiased (Horvitz & Thompson, A generalization of
            sampling without replacement from a finite universe, JASA 47, 1952).
        snips: sum(w r) / sum(w), which varies less and is right in the limit (Swaminathan & Joachims, The
            self-normalized estimator for counterfactual learning, NIPS 2015).
        effective_size: sum(w)^2 / sum(w^2), the number of items that an even log would need to say as much (Kish,
            Survey sampling, 1965).
        mean_weight: of all items, not clipped; about 1 unless the policy shows what the one that ran could not,
            and then neither estimate holds.
    """

    slates: int
    ips: Interval
    snips: Interval
    effective_size: float
    mean_weight: float


def estimates(outcomes: Outcomes, clip: float | None = None) -> dict[str, Estimate]:
    """Returns the estimate of the policy that ran, under LOGGED, and of each other one, by name."""
    targets = {LOGGED: outcomes.propensities} | {name: outcomes.under[name] for name in sorted(outcomes.under)}
    return {name: estimate(outcomes, target, clip) for name, target in targets.items()}


def estimate(outcomes: Outcomes, target: Floats, clip: float | None = None) -> Estimate:
    """Returns what a policy would have earned, with 95 % intervals from resampling slates.

    Args:
        outcomes: the log.
        target: (N,) the probability that the policy would have shown each item; 0 where it never would.
        clip: no weight counts for more than this: less variance, at the price of a bias towards 0 in `ips`
            (Ionides, Truncated importance sampling, JCGS 17(2), 2008).

    Returns:
        Means of an empty log are NaN, and so is `snips` where the policy would have shown nothing of it. A user's
        slates are taken as independent of each other.
    """
    weights = target / outcomes.propensities
    used = weights if clip is None else np.minimum(weights, clip)
    earned, weighed, shown = by_block(outcomes.slates, used * outcomes.rewards, used, np.ones(len(used)))
    squares = float((used**2).sum())
    return Estimate(
        slates=len(shown),
        ips=ratio_interval(earned, shown),
        snips=ratio_interval(earned, weighed),
        effective_size=float(used.sum()) ** 2 / squares if squares else 0.0,
        mean_weight=float(weights.mean()) if len(weights) else np.nan,
    )


def join(
    exposures: Iterable[Exposure],
    interactions: Iterable[Interaction],
    window_ms: int,
    types: Mapping[str, InteractionType] = INTERACTION_TYPES,
) -> Outcomes:
    """Labels every exposed item with whether its user took it up within the window.

    Args:
        exposures: in any order; one that comes twice, by its recommendation_id, counts once.
        interactions: in any order, read once; only those that speak for their item count.
        window_ms: how long after a slate was shown an interaction may be its doing.
        types: the interaction types and their weights.

    Returns:
        The slates in the order in which they were shown. Each interaction is credited to one exposure: in the slate
        that its recommendation_id names, or else the latest that showed the item to the user before it. One that
        names a slate which did not show the item to that user is credited to none.
    """
    slates = {one.recommendation_id: one for one in exposures}
    shown = _Shown(sorted(slates.values(), key=lambda one: (one.shown_at, one.recommendation_id)), window_ms)
    rewards = np.zeros(shown.starts[-1])
    for one in interactions:
        kind = types.get(one.type)
        if kind is not None and weight_of(kind, one.value) > 0:
            at = shown.credited(one)
            if at is not None:
                rewards[at] = 1.0
    items = [item for exposure in shown.slates for item in exposure.items]
    names = {name for item in items for name in item.under or ()}
    return Outcomes(
        slates=np.repeat(np.arange(len(shown.slates)), np.diff(shown.starts)),
        propensities=np.array([item.propensity for item in items], np.float64),
        rewards=rewards,
        under={
            name: np.array([(item.under or {}).get(name, item.propensity) for item in items], np.float64)
            for name in names
        },
    )


class _Shown:
    """Finds the exposed item that an interaction is to be credited to."""

    def __init__(self, slates: Sequence[Exposure], window_ms: int) -> None:
        self.slates = slates
        self.starts = np.cumsum([0, *(len(one.items) for one in slates)])
        self._window_ms = window_ms
        self._named = {one.recommendation_id: at for at, one in enumerate(slates)}
        self._of_user: dict[str, list[int]] = {}
        for at, one in enumerate(slates):
            self._of_user.setdefault(one.user_id, []).append(at)

    def credited(self, interaction: Interaction) -> int | None:
        """Returns the number of the exposed item over all slates."""
        for at in self._candidates(interaction):
            for slot, item in enumerate(self.slates[at].items):
                if item.item_id == interaction.item_id and self.slates[at].user_id == interaction.user_id:
                    return int(self.starts[at]) + slot
        return None

    def _candidates(self, interaction: Interaction) -> Iterator[int]:
        """The slates that may have led to it, the latest first."""
        oldest = interaction.time_ms - self._window_ms
        if interaction.recommendation_id is not None:
            at = self._named.get(interaction.recommendation_id)
            if at is not None and self.slates[at].shown_at >= oldest:  # it may seem to come before: clocks differ
                yield at
            return
        own = self._of_user.get(interaction.user_id, [])
        last = bisect_right(own, interaction.time_ms, key=lambda at: self.slates[at].shown_at)
        for at in reversed(own[:last]):
            if self.slates[at].shown_at < oldest:
                return
            yield at

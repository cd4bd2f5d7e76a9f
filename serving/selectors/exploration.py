"""Exploration: a few slots show by chance what is not yet known to be best, and the chance goes on record.

A recommender that always shows its best guess never learns what it is wrong about. Here the last selector gives
some slots to items drawn from a bounded pool, and says how likely each item of the slate was to be in it, under the
policy that ran and under every other one, so that learning/off_policy.py can tell from the log what the others
would have earned. Pure: the generator is handed in. The greedy slate is what the selector before this one chose.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Policy = Literal["greedy", "epsilon", "thompson"]

POOL = 50
"""Beyond the slate, only so many candidates are drawn from: the wider, the smaller each one's chance."""

DRAWS = 256
"""Thompson's chances are counted over so many draws: to 1/256, in a third of a millisecond."""

UNIFORM = 0.1
"""Share of Thompson's chances that is spread evenly, so that no weight of an epsilon slate in its log exceeds 10."""

SEED = 20_261_122

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class Exploration:
    """A slate with its chances; all arrays are (S,) in the order of the slate.

    Attributes:
        places: places in the candidates' greedy order, each at most once.
        explored: whether the item was drawn from the pool.
        propensities: the probability, in (0, 1], that the policy that ran shows the item in any slot.
        under: the same probability under each named policy, the one that ran among them; 0 where it never would.
    """

    places: Places
    explored: NDArray[np.bool_]
    propensities: Floats
    under: dict[str, Floats]

    def others(self, slot: int) -> dict[str, float] | None:
        """Returns the propensities of one item that differ from the logged one, as `ExposedItem.under` wants them."""
        logged = float(self.propensities[slot])
        found = {name: float(values[slot]) for name, values in self.under.items() if values[slot] != logged}
        return found or None


@dataclass(frozen=True)
class _Case:
    """One number of slots that may explore: how likely it is, and the places that are then drawn from."""

    chance: float
    slots: int
    pool: Places


def explore(
    scores: NDArray[np.float32],
    uncertainty: NDArray[np.float32],
    wanted: int,
    share: float,
    policy: Policy,
    generator: np.random.Generator,
) -> Exploration:
    """Gives some slots of a greedy slate to drawn items.

    Args:
        scores: (C,) finite, in greedy order: the slate that the selector before chose, then the rest.
        uncertainty: (C,) finite, positive, in the unit of the scores: large for an item with few interactions.
        wanted: how long the slate shall be.
        share: of the slots that explore, 0..1; what is left of a whole slot explores with that probability.
        policy: "greedy" explores nothing; "epsilon" draws evenly; "thompson" draws an item as likely as it is to be
            among the best of the pool when every score is drawn from Normal(score, uncertainty) (Thompson,
            Biometrika 25, 1933; Chapelle & Li, NIPS 2011), mixed with UNIFORM of even chances.
        generator: seeded by the caller; the same state, the same slate.

    Returns:
        min(wanted, C) items. Slot 0 never explores; drawn items go to random slots of the lower half, or as far up as
        they need. With share 0, nothing to draw from (C <= wanted) or policy "greedy": the greedy slate, propensity 1.
        The pool is the same for all policies: the greedy places that may be given up, so that the log can tell what
        greedy would have earned, and the POOL next ones by score + uncertainty (Auer, JMLR 3, 2002).
    """
    size = min(wanted, len(scores))
    cases = _cases(scores.astype(np.float64) + uncertainty, size, share)
    chances = {
        name: [compute(scores[case.pool], uncertainty[case.pool], case.slots) for case in cases]
        for name, compute in CHANCES.items()
    }
    under = {name: _propensities(len(scores), size, cases, found) for name, found in chances.items()}
    under["greedy"] = (np.arange(len(scores)) < size).astype(np.float64)
    which = 0 if generator.random() < cases[0].chance else -1
    drawn, slots = np.empty(0, np.int64), np.empty(0, np.int64)
    if policy != "greedy":
        drawn = cases[which].pool[systematic(chances[policy][which], cases[which].slots, generator)]
        slots = _lower_slots(size, len(drawn), generator)
    explored = np.isin(np.arange(size), slots)
    places = np.arange(size)
    places[explored] = drawn
    places[~explored] = np.arange(size - len(drawn))
    return Exploration(places, explored, under[policy][places], {name: one[places] for name, one in under.items()})


def systematic(chances: Floats, slots: int, generator: np.random.Generator) -> Places:
    """Draws exactly `slots` distinct places, each with its chance of being among them, in random order.

    Args:
        chances: (P,) inclusion probabilities, each below 1, which add up to `slots`.
        slots: how many to draw.
        generator: one permutation and one uniform draw are taken from it.

    Source: Madow, On the theory of systematic sampling II, Annals of Mathematical Statistics 20(3), 1949: lay the
    chances end to end and take what lies at u, u + 1, ...; shuffled first, so that most pairs can come together.
    """
    order = generator.permutation(len(chances))
    points = generator.random() + np.arange(slots)
    ends = np.cumsum(chances[order])
    return order[np.minimum(np.searchsorted(ends, points, side="right"), len(order) - 1)]


def _cases(optimistic: Floats, size: int, share: float) -> list[_Case]:
    """The one or two numbers of slots that may explore; their chances add up to 1."""
    most = size - 1.0 if len(optimistic) > size > 0 else 0.0
    expected = round(min(size * min(max(share, 0.0), 1.0), most), 9)  # 30 % of 10 are 3 and not a bit less
    slots = int(expected)
    rest = size + np.argsort(-optimistic[size:], kind="stable")[:POOL]
    numbers = ((1.0 - (expected - slots), slots), (expected - slots, slots + 1))
    return [_Case(chance, one, _pool(size, one, rest)) for chance, one in numbers if chance > 0]


def _pool(size: int, slots: int, rest: Places) -> Places:
    return np.concatenate([np.arange(size - slots, size), rest]) if slots else np.empty(0, np.int64)


def _propensities(candidates: int, size: int, cases: list[_Case], chances: list[Floats]) -> Floats:
    """(C,) the probability of each place to be in the slate: certain above the pool, drawn in it, over the cases."""
    found = np.zeros(candidates)
    for case, drawn in zip(cases, chances, strict=True):
        found[: size - case.slots] += case.chance
        found[case.pool] += case.chance * drawn
    return np.minimum(found, 1.0)


def _lower_slots(size: int, count: int, generator: np.random.Generator) -> Places:
    """Slots for `count` < size drawn items, at random in the lower half, or in as many of the last as it takes."""
    lower = min(max(count, size - size // 2), size - 1)
    return size - 1 - generator.permutation(lower)[:count] if count else np.empty(0, np.int64)


def _even(scores: NDArray[np.float32], uncertainty: NDArray[np.float32], slots: int) -> Floats:
    return np.full(len(scores), slots / max(len(scores), 1))


def _thompson(scores: NDArray[np.float32], uncertainty: NDArray[np.float32], slots: int) -> Floats:
    if not slots:
        return np.zeros(len(scores))
    noise = _noise(1 << (len(scores) - 1).bit_length())[:, : len(scores)]
    drawn = scores + uncertainty.astype(np.float64) * noise
    best = np.argpartition(-drawn, slots - 1, axis=1)[:, :slots]
    counted = np.bincount(best.ravel(), minlength=len(scores)) / DRAWS
    return (1 - UNIFORM) * counted + UNIFORM * _even(scores, uncertainty, slots)


@cache
def _noise(width: int) -> Floats:
    """(DRAWS, width) standard normal, each draw with its mirror image, so that no column leans to one side.

    Always the same, so that the policy is a function of scores and uncertainty alone, and its chances are exact.
    Asked for in powers of two, so that only a few are kept; a narrower one is the beginning of a wider.
    """
    half = np.random.default_rng(SEED).standard_normal((width, DRAWS // 2)).T
    return np.concatenate([half, -half])


CHANCES: dict[str, Callable[[NDArray[np.float32], NDArray[np.float32], int], Floats]] = {
    "epsilon": _even,
    "thompson": _thompson,
}
"""How likely each place of a pool is drawn by a policy that explores: (P,), adding up to the number of slots."""

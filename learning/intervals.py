"""How sure a mean is when the same users come again and again: intervals from resampling whole users.

A user's events resemble each other, so an interval that took them as independent would be too narrow. The bootstrap
draws users with replacement, each with all of their events. The judge and the off-policy estimates call this.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 1_000
"""Enough for the 2.5 % and 97.5 % points (Efron & Tibshirani, An introduction to the bootstrap, 1993, section 14.3)."""

SEED = 20_261_122
AT_ONCE = 1_000_000
"""Draws that are held in memory together: 16 MB."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its 95 % interval, in the unit of the values. All NaN where there were none."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference(Interval):
    """An `Interval` of a difference. `p`, in (0, 1], is below 0.05 where the interval leaves out 0, give or take."""

    p: float


def interval(values: Floats, users: NDArray[np.integer], seed: int = SEED) -> Interval:
    """Returns the mean of the values and its 95 % interval, the users being a sample of all users.

    Args:
        values: (E,) a metric of each event.
        users: (E,) whose event it is, as any whole numbers.
        seed: the same seed, the same interval.
    """
    sums, counts = by_block(users, values, np.ones(len(values)))
    return ratio_interval(sums, counts, seed)


def difference(values: Floats, baseline: Floats, users: NDArray[np.integer], seed: int = SEED) -> Difference:
    """Returns how much better one configuration is than another on the same events, with its 95 % interval and p.

    Args:
        values: (E,) a metric of each event under the one configuration.
        baseline: (E,) the same of the same events under the other.
        users: (E,) whose event it is, as any whole numbers.
        seed: the same seed, the same answer.

    Returns:
        mean(values - baseline). p is two-sided, twice the smaller tail of the resampled differences beyond 0,
        (1 + count) / (1 + RESAMPLES); 1 where nothing differs. Source: Davison & Hinkley, Bootstrap methods and their
        application, 1997, section 4.2; the interval as `ratio_interval`. All NaN without events.
    """
    sums, counts = by_block(users, values - baseline, np.ones(len(values)))
    if not len(sums):
        return Difference(np.nan, np.nan, np.nan, np.nan)
    resampled = _resampled(sums, counts, seed)
    tail = min(int((resampled <= 0).sum()), int((resampled >= 0).sum()))
    return Difference(
        float(sums.sum() / counts.sum()), *_ends(resampled), p=min(1.0, 2.0 * (1 + tail) / (1 + RESAMPLES))
    )


def ratio_interval(numerators: Floats, denominators: Floats, seed: int = SEED) -> Interval:
    """Returns sum(numerators) / sum(denominators) over blocks, with its 95 % interval from resampled blocks.

    Args:
        numerators: (B,) one for each block, such as a user's sum of values.
        denominators: (B,) such as a user's number of events; not negative.
        seed: the same seed, the same interval.

    Returns:
        The percentile interval (Efron & Tibshirani 1993, chapter 13) over blocks drawn with replacement (Field &
        Welsh, Bootstrapping clustered data, JRSS B 69(3), 2007). Resamples whose denominators are all 0 are left
        out. All NaN without blocks or where all denominators are 0. Needs some tens of blocks to be about right.
    """
    total = float(denominators.sum())
    if not total:
        return Interval(np.nan, np.nan, np.nan)
    return Interval(float(numerators.sum()) / total, *_ends(_resampled(numerators, denominators, seed)))


def by_block(blocks: NDArray[np.integer], *values: Floats) -> list[Floats]:
    """Returns the sum of each of `values` over each block, (B,) each, blocks in the order of their numbers."""
    _, codes = np.unique(blocks, return_inverse=True)
    return [np.bincount(codes, one).astype(np.float64) for one in values]


def _ends(resampled: Floats) -> tuple[float, float]:
    low, high = np.nanpercentile(resampled, [2.5, 97.5])
    return float(low), float(high)


def _resampled(numerators: Floats, denominators: Floats, seed: int) -> Floats:
    """(RESAMPLES,) ratios of sums over len(numerators) blocks drawn with replacement; NaN for 0 / 0."""
    generator = np.random.default_rng(seed)
    blocks = len(numerators)
    together = max(1, AT_ONCE // blocks)
    sums = np.empty((2, RESAMPLES))
    for start in range(0, RESAMPLES, together):
        drawn = generator.integers(blocks, size=(min(together, RESAMPLES - start), blocks))
        sums[0, start : start + together] = numerators[drawn].sum(1)
        sums[1, start : start + together] = denominators[drawn].sum(1)
    ratios = np.full(RESAMPLES, np.nan)
    np.divide(sums[0], sums[1], out=ratios, where=sums[1] != 0)
    return ratios

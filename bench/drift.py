"""Does a measured quantity drift? A straight line through its samples, with the interval of its slope."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

BLOCKS, WARM_UP_SHARE = 20, 0.25
"""Neighbouring samples resemble each other and would make the interval too narrow, so the line goes through the means
of so many stretches of time; what a process does in its first quarter says little about the rest."""

T_975 = 2.101
"""Student's t for 18 degrees of freedom, BLOCKS less two: 95 % of slopes lie within so many standard errors."""

LEAST = 1e-4
"""Of the mean, an hour: a quarter of a percent a day. Samples so steady that less can be told are rounding."""


@dataclass(frozen=True)
class Drift:
    """What a quantity was on average, and how it changed an hour: estimate and 95 % interval, in its own unit."""

    mean: float
    slope: float
    low: float
    high: float

    @property
    def is_sure(self) -> bool:
        """Whether the interval leaves out 0, and the change is one that anybody would see."""
        return (self.low > 0 or self.high < 0) and abs(self.slope) > LEAST * abs(self.mean)


def drift(seconds: Sequence[float], values: Sequence[float]) -> Drift:
    """Returns the drift of a quantity from samples taken at these moments, in order.

    Raises:
        ValueError: fewer samples than the line needs after the warm-up.
    """
    times, measured = np.array(seconds) / 3600, np.array(values, np.float64)
    later = times >= times[0] + WARM_UP_SHARE * (times[-1] - times[0])
    if later.sum() < BLOCKS:
        raise ValueError(f"{later.sum()} samples after the warm-up; {BLOCKS} are needed")
    x, y = (np.array([one.mean() for one in np.array_split(column[later], BLOCKS)]) for column in (times, measured))
    centred = x - x.mean()
    slope = float(centred @ y / (centred @ centred))
    off = y - y.mean() - slope * centred
    error = float(np.sqrt(off @ off / (BLOCKS - 2) / (centred @ centred)))
    return Drift(float(y.mean()), slope, slope - T_975 * error, slope + T_975 * error)

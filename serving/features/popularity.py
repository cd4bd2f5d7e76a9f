"""How often an item is touched: at several half lives, and by users whose history is as long as this one's.

Differences of logarithms are trends, so a linear ranker weighs those as well.
"""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.compiled import compiled
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, STAGES
from serving.numbering import Rows
from serving.query import Query

NAMES = (
    "popularity_hours",
    "popularity_days",
    "popularity_weeks",
    "popularity_year",
    "popularity_decade",
    "popularity_stage",
    "popularity_stages",
    "popularity_category",
    "popularity_in_category",
)
WEEKS = 2
"""Place in POPULARITY_HALF_LIVES_DAYS of the half life that categories are compared at."""

LEAST = -100.0
"""log2 of a count that is as good as none. For what is too small for a float32, exp2 takes five times as long."""

_ONE = np.float32(0.1)
"""Added to counts before the logarithm: what nobody touched lies a factor of ten below what one user did."""


_HALF_LIVES = np.array(POPULARITY_HALF_LIVES_DAYS)
Floats = NDArray[np.float64]


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns log(count + 0.1), natural, for each half life, for the user's stage, and for it and its neighbours.

    Then the same of the item's first category, added up over the candidates, and the item's share of that.
    """
    behaviour, days = query.model.behaviour, query.now_ms / DAY_MS
    near = slice(max(0, query.stage - 1), min(len(STAGES), query.stage + 2))
    of_stage = days / STAGE_HALF_LIFE_DAYS
    counts = _logs(behaviour.popularity, days / _HALF_LIVES, behaviour.stages[near], of_stage, rows)
    np.exp2(counts, out=counts)
    catalogue = query.model.catalogue
    own = len(behaviour.popularity), query.stage - near.start, WEEKS
    logs: NDArray[np.float32] = _summed(counts, *own, catalogue.category_ids, len(catalogue.categories), rows)
    np.log(logs[:-1], out=logs[:-1])
    np.subtract(logs[WEEKS], logs[-2], out=logs[-1])
    return logs


@compiled("(float64[:, ::1], float64[::1], float64[:, ::1], float64, int64[::1])")
def _logs(popularity: Floats, now: Floats, stages: Floats, now_of_stages: float, rows: Rows) -> NDArray[np.float32]:
    """Returns log2 of the counts as they have decayed by now: by half life, then by stage; (H + S, C)."""
    halves, found = len(popularity), np.empty((len(popularity) + len(stages), len(rows)), np.float32)
    for half in range(halves):
        for at in range(len(rows)):
            found[half, at] = max(popularity[half, rows[at]] - now[half], LEAST)
    for stage in range(len(stages)):
        for at in range(len(rows)):
            found[halves + stage, at] = max(stages[stage, rows[at]] - now_of_stages, LEAST)
    return found


@compiled("(float32[:, ::1], int64, int64, int64, int32[:, ::1], int64, int64[::1])")
def _summed(  # noqa: PLR0913, PLR0917 - the counts, which of them, and the categories
    counts: NDArray[np.float32],
    halves: int,
    own: int,
    compared: int,
    kinds: NDArray[np.int32],
    most: int,
    rows: Rows,
) -> NDArray[np.float32]:
    """Returns the counts by half life, at the user's stage, at it and its neighbours, and of the first category.

    To each _ONE is added; one more row is not filled yet.
    """
    of_kinds = np.full(most + 1, _ONE)
    found = np.full((halves + 4, len(rows)), _ONE)
    for half in range(halves):
        for at in range(len(rows)):
            found[half, at] += counts[half, at]
    for stage in range(halves, len(counts)):
        for at in range(len(rows)):
            found[halves + 1, at] += counts[stage, at]
    for at in range(len(rows)):
        found[halves, at] += counts[halves + own, at]
        of_kinds[kinds[rows[at], 0]] += counts[compared, at]
    for at in range(len(rows)):
        found[halves + 2, at] = of_kinds[kinds[rows[at], 0]]
    return found

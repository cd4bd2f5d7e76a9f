"""How often an item is touched: at several half lives, and by users whose history is as long as this one's.

Differences of logarithms are trends, so a linear ranker weighs those as well.
"""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, STAGES
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

_ONE = 0.1
"""Added to counts before the logarithm: what nobody touched lies a factor of ten below what one user did."""


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns log(count + 0.1), natural, for each half life, for the user's stage, and for it and its neighbours.

    Then the same of the item's first category, added up over the candidates, and the item's share of that.
    """
    behaviour, days = query.model.behaviour, query.now_ms / DAY_MS
    halves = np.array(POPULARITY_HALF_LIVES_DAYS)[:, None]
    counts = np.exp2(behaviour.popularity.take(rows, axis=1) - days / halves)
    near = slice(max(0, query.stage - 1), min(len(STAGES), query.stage + 2))
    stages = np.exp2(behaviour.stages[near].take(rows, axis=1) - days / STAGE_HALF_LIFE_DAYS)
    own = stages[query.stage - near.start]
    kinds = query.model.catalogue.category_ids[rows, 0]
    category = np.bincount(kinds, counts[WEEKS])[kinds]
    logs = np.log(np.vstack([counts, own, stages.sum(0), category]) + _ONE)
    return np.vstack([logs, logs[WEEKS] - logs[-1]]).astype(np.float32)

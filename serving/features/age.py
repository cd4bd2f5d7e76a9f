"""How new an item is, to the catalogue and to behaviour."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.compiled import compiled
from serving.behaviour import NEVER_TOUCHED_MS
from serving.numbering import Rows
from serving.query import Query

NAMES = ("newness", "days_known", "hours_quiet", "untouched")
QUIET_FOR_GOOD_DAYS = 1000.0


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns newness, log1p of days since first touched and of hours since last touched, and 1 if never touched.

    Newness is 1 for what is published now and falls to 0 over `fresh_days`.
    """
    behaviour, catalogue = query.model.behaviour, query.model.catalogue
    fresh_days = query.model.settings.fresh_days
    ages: NDArray[np.float32] = _ages(
        query.now_ms, fresh_days, catalogue.published_ms, behaviour.first_ms, behaviour.last_ms, rows
    )
    ages[1:3] = np.log1p(ages[1:3])
    return ages


@compiled("(int64, float64, int64[::1], int64[::1], int64[::1], int64[::1])")
def _ages(  # noqa: PLR0913, PLR0917 - the moment, and what is known by row
    now_ms: int, fresh_days: float, published_ms: Rows, first_ms: Rows, last_ms: Rows, rows: Rows
) -> NDArray[np.float32]:
    """Returns newness, days since first touched, hours since last touched, and 1 if never touched; (4, C)."""
    found = np.empty((4, len(rows)), np.float32)
    for at in range(len(rows)):
        row = rows[at]
        published_days, untouched = (now_ms - published_ms[row]) / DAY_MS, first_ms[row] == NEVER_TOUCHED_MS
        found[0, at] = min(max(1 - published_days / fresh_days, 0.0), 1.0) if published_days >= 0 else 0.0
        found[1, at] = 0.0 if untouched else max((now_ms - first_ms[row]) / DAY_MS, 0.0)
        quiet_days = QUIET_FOR_GOOD_DAYS if untouched else (now_ms - last_ms[row]) / DAY_MS
        found[2, at] = max(quiet_days, 0.0) * 24
        found[3, at] = 1.0 if untouched else 0.0
    return found

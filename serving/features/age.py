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
    touched_ms = behaviour.first_ms, behaviour.last_ms
    fresh_ms = query.model.settings.fresh_days * DAY_MS
    lasting = NEVER_TOUCHED_MS, fresh_ms, float(DAY_MS)
    ages: NDArray[np.float32] = _ages(query.now_ms, *lasting, catalogue.published_ms, *touched_ms, rows)
    np.log1p(ages[1:3], out=ages[1:3])
    return ages


@compiled("(int64, int64, float64, float64, int64[::1], int64[::1], int64[::1], int64[::1])")
def _ages(  # noqa: PLR0913, PLR0917 - moments and lengths of time, and what is known by row
    now_ms: int,
    never_ms: int,
    fresh_ms: float,
    day_ms: float,
    published_ms: Rows,
    first_ms: Rows,
    last_ms: Rows,
    rows: Rows,
) -> NDArray[np.float32]:
    """Returns (4, C): newness, days since first and hours since last touched, and 1 if never touched.

    What is yet to be published is as old as can be; what was never touched, and what is dated ahead, was touched now.
    """
    found = np.empty((4, len(rows)), np.float32)
    for at in range(len(rows)):
        row = rows[at]
        age_ms, never = now_ms - published_ms[row], first_ms[row] == never_ms
        found[0, at] = min(1 - age_ms / fresh_ms, 1) if 0 <= age_ms < fresh_ms else 0
        found[1, at] = 0 if never else max(now_ms - first_ms[row], 0) / day_ms
        found[2, at] = 24 * QUIET_FOR_GOOD_DAYS if never else max(now_ms - last_ms[row], 0) * 24 / day_ms
        found[3, at] = never
    return found

"""How new an item is, to the catalogue and to behaviour."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from serving.behaviour import NEVER_TOUCHED_MS
from serving.query import Query

NAMES = ("newness", "days_known", "hours_quiet", "untouched")
QUIET_FOR_GOOD_DAYS = 1000.0


def compute(query: Query, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Returns newness, log1p of days since first touched and of hours since last touched, and 1 if never touched.

    Newness is 1 for what is published now and falls to 0 over `fresh_days`.
    """
    behaviour, catalogue = query.model.behaviour, query.model.catalogue
    published_days = (query.now_ms - catalogue.published_ms.take(rows)) / DAY_MS
    newness = np.where(published_days < 0, 0, np.clip(1 - published_days / query.model.settings.fresh_days, 0, 1))
    first_ms, last_ms = behaviour.first_ms.take(rows), behaviour.last_ms.take(rows)
    untouched = first_ms == NEVER_TOUCHED_MS
    known = np.where(untouched, 0, (query.now_ms - first_ms) / DAY_MS)
    quiet = np.where(untouched, QUIET_FOR_GOOD_DAYS, (query.now_ms - last_ms) / DAY_MS)
    return np.stack([newness, np.log1p(np.maximum(known, 0)), np.log1p(np.maximum(quiet, 0) * 24), untouched]).astype(
        np.float32
    )

"""The rows that may be new, kept while the catalogue changes, so that no request looks through it whole."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.compiled import compiled
from serving.behaviour import NEVER_TOUCHED_MS, Behaviour
from serving.catalogue import Catalogue
from serving.numbering import Rows


class NewItems:
    """Items published within some days, and those that nobody has touched yet.

    What is kept is a superset: items stop being new by growing old or by being touched, and are dropped once they
    are in the way. They come in through `Catalogue.changed`.
    """

    def __init__(self, catalogue: Catalogue, behaviour: Behaviour, fresh_days: float) -> None:
        self._catalogue = catalogue
        self._behaviour = behaviour
        self._fresh_ms = fresh_days * DAY_MS
        self._rows: Rows = np.empty(0, np.int64)
        self._dropped_ms = np.iinfo(np.int64).max
        self._held: tuple[Rows, int, NDArray[np.float32]] = self._rows, -1, np.empty(0, np.float32)

    def latest(self, now_ms: int, limit: int) -> Rows:
        """Returns the new rows of a moment, ascending; of more than `limit` those that came into the catalogue last."""
        if now_ms < self._dropped_ms:  # the first time, or a clock that was set back
            self._rows = np.arange(len(self._catalogue))
            self._drop(now_ms)
        elif self._catalogue.changed:
            self._rows = np.union1d(self._rows, np.fromiter(self._catalogue.changed, np.int64))
        self._catalogue.changed.clear()
        found = self._new(self._rows[-2 * limit :], now_ms, now_ms)
        if len(found) < limit < len(self._rows):
            self._drop(now_ms)
            found = self._new(self._rows, now_ms, now_ms)
        return found[-limit:]

    def usual_text(self, rows: Rows) -> NDArray[np.float32]:
        """Returns (D,) the mean of the texts of what `latest` gave.

        What all have in common tells nothing, and is most of each. Most requests ask for the same ones', which is kept.
        """
        held, changes, usual = self._held
        if changes != len(self._catalogue.vector_changes) or not np.array_equal(held, rows):
            usual, _ = self._catalogue.texts.means(rows, np.zeros(len(rows), np.float32))
            self._held = rows, len(self._catalogue.vector_changes), usual
        return usual

    def _drop(self, now_ms: int) -> None:
        self._rows, self._dropped_ms = self._new(self._rows, now_ms, np.iinfo(np.int64).max), now_ms

    def _new(self, rows: Rows, now_ms: int, published_by_ms: int) -> Rows:
        catalogue, since_ms = self._catalogue, int(now_ms - self._fresh_ms)
        first_ms = self._behaviour.first_ms
        found: Rows = _new(
            NEVER_TOUCHED_MS, since_ms, published_by_ms, catalogue.live, catalogue.published_ms, first_ms, rows
        )
        return found


@compiled("(int64, int64, int64, boolean[::1], int64[::1], int64[::1], int64[::1])")
def _new(  # noqa: PLR0913, PLR0917 - two moments, and what is known by row
    never_ms: int, since_ms: int, by_ms: int, live: NDArray[np.bool_], published_ms: Rows, first_ms: Rows, rows: Rows
) -> Rows:
    """Returns those rows that were published between two moments, or touched by nobody and published by the second."""
    found, count = np.empty(len(rows), np.int64), 0
    for row in rows:
        untouched = first_ms[row] == never_ms
        if live[row] and published_ms[row] <= by_ms and (published_ms[row] >= since_ms or untouched):
            found[count] = row
            count += 1
    return found[:count]

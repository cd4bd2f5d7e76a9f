"""The rows that may be new, kept while the catalogue changes, so that no request looks through it whole."""

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
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
        found = self._published(self._rows[-2 * limit :], now_ms)
        if len(found) < limit < len(self._rows):
            self._drop(now_ms)
            found = self._published(self._rows, now_ms)
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

    def _published(self, rows: Rows, now_ms: int) -> Rows:
        return rows[self._are_new(rows, now_ms) & (self._catalogue.published_ms[rows] <= now_ms)]

    def _drop(self, now_ms: int) -> None:
        self._rows, self._dropped_ms = self._rows[self._are_new(self._rows, now_ms)], now_ms

    def _are_new(self, rows: Rows, now_ms: int) -> NDArray[np.bool_]:
        lately = self._catalogue.published_ms[rows] >= now_ms - self._fresh_ms
        new: NDArray[np.bool_] = lately | (self._behaviour.first_ms[rows] == NEVER_TOUCHED_MS)
        return self._catalogue.live[rows] & new

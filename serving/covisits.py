"""What a user's recent items lead to: co-visitation over several horizons, forward and backward."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from learning.signals import ONCE
from serving.links import Changes
from serving.numbering import Marks, Numbering, Rows

if TYPE_CHECKING:
    from serving.query import Query

HORIZONS = ((0.97, 50), (0.8, 12), (0.3, 3))
"""Lag decay and length: the taste, the sitting, and the very last items. The signals themselves are learned at
one horizon between these; on MovieLens 100k keeping three instead gained nothing (nDCG@10 .1027 and .1011)."""

TASTE, SITTING, LAST = range(3)
"""Places in HORIZONS."""

LIFT = 0.7
"""Strengths are also divided by popularity to this power, or what everybody touches leads to everything."""

_GRID = 2**20
_DECAYS = np.array(
    [
        [round(decay**lag * _GRID) / _GRID * (lag < length) for lag in range(HORIZONS[TASTE][1])]
        for decay, length in HORIZONS
    ]
)
"""By horizon and items back. On a binary grid, so that sums of whole weights are exact: changes that cancel leave
nothing, in whatever order."""

_SITTING = _DECAYS[SITTING, : HORIZONS[SITTING][1]].copy()


class Links(NamedTuple):
    """Changes of the links of the recent items, one item after the other, and how many each has."""

    changes: Changes
    counts: Rows


Led = NDArray[np.float32]
"""(4, len(HORIZONS), C): strengths of some rows forward, the same with popularity divided out, and both backward."""

FORWARD, FORWARD_LIFTS, BACKWARD, BACKWARD_LIFTS = range(4)
"""Places in Led."""


@dataclass(frozen=True)
class Covisits:
    """Strengths of the items that the recent ones are linked with; all others have 0.

    Attributes:
        rows: (U,) distinct, in no order.
        sums: (U, 2, len(HORIZONS)), in hundredths, >= 0: how strongly the recent items lead to each, as users touched
            it after them, and what users touched before them.
        popularity: (U,) float32, what lifts are divided by.
        links: what was added up, forward and backward; for reasons.
    """

    rows: Rows
    sums: NDArray[np.float64]
    popularity: NDArray[np.float32]
    links: tuple[Links, Links]

    def strengths(self, kind: int, horizon: int) -> NDArray[np.float32]:
        """Returns one kind of strength over one horizon, as `Led` has them, of all rows: (U,) float32."""
        side, is_lift = divmod(kind, 2)
        found: NDArray[np.float32] = self.sums[:, side, horizon].astype(np.float32)
        found /= ONCE
        if is_lift:
            found /= self.popularity
        return found

    def of(self, rows: Rows, numbering: Numbering) -> Led:
        """Returns all strengths of (C,) rows."""
        led: Led = _led(numbering.marks, self.rows, self.sums, self.popularity, ONCE, rows)
        return led

    def led_by(self, rows: Rows, numbering: Numbering) -> list[int | None]:
        """Returns for each of distinct rows how many items back the recent one lies that led there most strongly.

        None where none did.
        """
        totals = np.zeros((len(rows), len(_SITTING)))
        for changes, counts in self.links:
            _add_up(numbering.marks, rows, changes, counts, _SITTING, totals)
        strongest = zip(totals.argmax(axis=1).tolist(), totals.max(axis=1).tolist(), strict=True)
        return [lag if total > 0 else None for lag, total in strongest]


def covisits(query: "Query") -> Covisits:
    """Adds up what the recent items say; nothing for a user without a history."""
    behaviour = query.model.behaviour
    recent = query.recent_rows[: HORIZONS[TASTE][1]].tolist()
    links = Links(*behaviour.successors(recent)), Links(*behaviour.predecessors(recent))
    rows, sums = summed(links, query.model.catalogue.numbering)
    return Covisits(rows, sums, (behaviour.counts(query.now_ms, rows) + 1) ** LIFT, links)


def summed(links: tuple[Links, Links], numbering: Numbering) -> tuple[Rows, NDArray[np.float64]]:
    """Returns the rows, (U,), that links lead to, and how strongly: (U, 2, len(HORIZONS)), in hundredths."""
    (after, after_counts), (before, before_counts) = links
    rows, sums = _summed(numbering.marks, after, after_counts, before, before_counts, _DECAYS)
    return rows, sums


@compiled("(int32[::1], int32[:, ::1], int64[::1], int32[:, ::1], int64[::1], float64[:, ::1])")
def _summed(  # noqa: PLR0913, PLR0917 - two sides, and what they are added up with
    marks: Marks, after: Changes, after_counts: Rows, before: Changes, before_counts: Rows, decays: NDArray[np.float64]
) -> tuple[Rows, NDArray[np.float64]]:
    most, count, link = len(after) + len(before), 0, 0
    rows, places = np.empty(most, np.int64), np.empty(most, np.int32)
    for changes in (after, before):
        for at in range(len(changes)):
            row = changes[at, 0]
            place = marks[row]
            if place >= count or rows[place] != row:
                place = marks[row] = count
                rows[place] = row
                count += 1
            places[link] = place
            link += 1
    sums, link = np.zeros((count, 2, len(decays))), 0
    for side, changes, counts in ((0, after, after_counts), (1, before, before_counts)):
        start = 0
        for lag in range(len(counts)):
            end = start + counts[lag]
            taste, sitting, last = decays[0, lag], decays[1, lag], decays[2, lag]
            for at in range(start, end):
                place, weight = places[link], changes[at, 1]
                sums[place, side, 0] += weight * taste
                if sitting > 0:  # where the sitting does not reach, the last items do not
                    sums[place, side, 1] += weight * sitting
                    sums[place, side, 2] += weight * last
                link += 1
            start = end
    return rows[:count], sums


@compiled("(int32[::1], int64[::1], float64[:, :, ::1], float32[::1], float64, int64[::1])")
def _led(  # noqa: PLR0913, PLR0917 - what `Covisits` holds
    marks: Marks, known: Rows, sums: NDArray[np.float64], popularity: NDArray[np.float32], once: float, rows: Rows
) -> NDArray[np.float32]:
    for place in range(len(known)):
        marks[known[place]] = place
    sides, horizons = sums.shape[1], sums.shape[2]
    led = np.zeros((2 * sides, horizons, len(rows)), np.float32)  # as in `Led`
    for at in range(len(rows)):
        place = marks[rows[at]]
        if place < len(known) and known[place] == rows[at]:
            for side in range(sides):
                for horizon in range(horizons):
                    strength = np.float32(sums[place, side, horizon]) / np.float32(once)
                    led[2 * side, horizon, at] = strength
                    led[2 * side + 1, horizon, at] = strength / popularity[place]
    return led


@compiled("(int32[::1], int64[::1], int32[:, ::1], int64[::1], float64[::1], float64[:, ::1])")
def _add_up(  # noqa: PLR0913, PLR0917 - as above
    marks: Marks, rows: Rows, changes: Changes, counts: Rows, decays: NDArray[np.float64], totals: NDArray[np.float64]
) -> None:
    """Adds to (C, len(decays)) totals of (C,) rows what each of the items that many steps back says."""
    for place in range(len(rows)):
        marks[rows[place]] = place
    start = 0
    for lag in range(min(len(counts), len(decays))):
        end = start + counts[lag]
        for at in range(start, end):
            place = marks[changes[at, 0]]
            if place < len(rows) and rows[place] == changes[at, 0]:
                totals[place, lag] += changes[at, 1] * decays[lag]
        start = end

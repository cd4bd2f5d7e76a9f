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

FORWARD_LIFTS = 1
"""Place in Led."""


@dataclass(frozen=True)
class Covisits:
    """Strengths of the items that the recent ones are linked with; all others have 0.

    Attributes:
        rows: (U,) distinct, in no order.
        strengths: (U, 2, len(HORIZONS)) float32, >= 0: how strongly the recent items lead to each, as users touched it
            after them; then the same of what users touched before them.
        links: what was added up, forward and backward; for reasons.
    """

    rows: Rows
    strengths: NDArray[np.float32]
    links: tuple[Links, Links]

    def of(self, rows: Rows, counts: NDArray[np.float32], numbering: Numbering) -> Led:
        """Returns the strengths of (C,) rows, given how often each was touched, (C,)."""
        places = numbering.places(self.rows, rows)
        led: Led = _led(places, self.strengths, counts)
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
    recent = query.rows[query.recent[: HORIZONS[TASTE][1]]].tolist()
    links = Links(*behaviour.successors(recent)), Links(*behaviour.predecessors(recent))
    return Covisits(*summed(links, query.model.catalogue.numbering), links)


def summed(links: tuple[Links, Links], numbering: Numbering) -> tuple[Rows, NDArray[np.float32]]:
    """Returns the rows, (U,), that links lead to, and as `Covisits.strengths` how strongly."""
    (after, after_counts), (before, before_counts) = links
    rows, sums = _summed(numbering.marks, after, after_counts, before, before_counts, _DECAYS)
    return rows, sums.astype(np.float32) / np.float32(ONCE)


def lifted(strengths: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divides (C,) strengths by (count + 1) ^ LIFT; counts: (C,)."""
    divided: NDArray[np.float32] = strengths / (counts + 1) ** LIFT
    return divided


@compiled("(int32[::1], int32[:, ::1], int64[::1], int32[:, ::1], int64[::1], float64[:, ::1])")
def _summed(  # noqa: PLR0913, PLR0917 - two sides, and what they are added up with
    marks: Marks, after: Changes, after_counts: Rows, before: Changes, before_counts: Rows, decays: NDArray[np.float64]
) -> tuple[Rows, NDArray[np.float64]]:
    most, count = len(after) + len(before), 0
    rows, sums = np.empty(most, np.int64), np.zeros((most, 2, len(decays)))
    for side, changes, counts in ((0, after, after_counts), (1, before, before_counts)):
        start = 0
        for lag in range(len(counts)):
            end = start + counts[lag]
            for at in range(start, end):
                row, weight = changes[at, 0], changes[at, 1]
                place = marks[row]
                if place >= count or rows[place] != row:
                    place = marks[row] = count
                    rows[place] = row
                    count += 1
                for horizon in range(len(decays)):
                    sums[place, side, horizon] += weight * decays[horizon, lag]
            start = end
    return rows[:count], sums[:count]


@compiled("(int64[::1], float32[:, :, ::1], float32[::1])")
def _led(places: Rows, strengths: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    horizons = strengths.shape[2]
    led = np.zeros((4, horizons, len(places)), np.float32)  # as in `Led`
    for at in range(len(places)):
        if places[at] >= 0:
            own, by = strengths[places[at]], (counts[at] + np.float32(1)) ** np.float32(LIFT)
            for side in range(2):
                for horizon in range(horizons):
                    led[2 * side, horizon, at] = own[side, horizon]
                    led[2 * side + 1, horizon, at] = own[side, horizon] / by
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

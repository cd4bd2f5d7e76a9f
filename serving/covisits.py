"""What a user's recent items lead to: co-visitation over several horizons, forward and backward."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.signals import ONCE
from serving.links import Changes
from serving.numbering import Numbering, Rows, by_tie

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
_DECAYS = [np.rint(decay ** np.arange(length) * _GRID) / _GRID for decay, length in HORIZONS]
"""On a binary grid, so that sums of whole weights are exact: changes that cancel leave nothing, in whatever order."""


class Links(NamedTuple):
    """Changes of the links of the recent items, one after the other: (C,) rows, how much, and how many items back."""

    rows: Rows
    weights: NDArray[np.int32]
    lags: Rows


class Led(NamedTuple):
    """Strengths of some rows, (len(HORIZONS), C) each, and the same with popularity divided out."""

    forward: NDArray[np.float32]
    forward_lifts: NDArray[np.float32]
    backward: NDArray[np.float32]
    backward_lifts: NDArray[np.float32]


@dataclass(frozen=True)
class Covisits:
    """Strengths of the items that the recent ones are linked with; all others have 0.

    Attributes:
        rows: (U,) distinct, in the order of a hash of their ids: what ties is cut alike on every replica.
        forward: (len(HORIZONS), U) float32, >= 0: how strongly the recent items lead to each: users touched it
            after them.
        backward: the same of what users touched before them.
        links: what was added up, forward and backward; for reasons.
    """

    rows: Rows
    forward: NDArray[np.float32]
    backward: NDArray[np.float32]
    links: tuple[Links, Links]

    def of(self, rows: Rows, numbering: Numbering) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns forward and backward strengths of (C,) rows, (len(HORIZONS), C) each."""
        if not len(self.rows):
            return (np.zeros((len(HORIZONS), len(rows)), np.float32),) * 2
        places = numbering.places(self.rows, rows)
        linked = places >= 0
        return self.forward.take(places, axis=1) * linked, self.backward.take(places, axis=1) * linked

    def led_by(self, rows: Rows, numbering: Numbering) -> list[int | None]:
        """Returns for each of distinct rows how many items back the recent one lies that led there most strongly.

        None where none did.
        """
        decays = _DECAYS[SITTING]
        totals = np.zeros(len(rows) * len(decays))
        for links in self.links:
            places = numbering.places(rows, links.rows)
            at = np.flatnonzero((places >= 0) & (links.lags < len(decays)))
            lags = links.lags[at]
            totals += np.bincount(places[at] * len(decays) + lags, links.weights[at] * decays[lags], len(totals))
        by_row = totals.reshape(len(rows), len(decays))
        strongest = zip(by_row.argmax(axis=1).tolist(), by_row.max(axis=1).tolist(), strict=True)
        return [lag if total > 0 else None for lag, total in strongest]


def covisits(query: "Query") -> Covisits:
    """Adds up what the recent items say; nothing for a user without a history."""
    behaviour, catalogue = query.model.behaviour, query.model.catalogue
    numbering = catalogue.numbering
    recent = query.rows[query.recent[: HORIZONS[TASTE][1]]].tolist()
    after, before = (_links(*of(recent)) for of in (behaviour.successors, behaviour.predecessors))
    rows = numbering.distinct(np.concatenate([after.rows, before.rows]))
    rows = by_tie(rows, catalogue.tie.take(rows))
    sums = [_summed(links, numbering.places(rows, links.rows), len(rows)) for links in (after, before)]
    return Covisits(rows, sums[0], sums[1], (after, before))


def _links(changes: Changes, counts: Rows) -> Links:
    return Links(changes[:, 0].astype(np.int64), changes[:, 1], np.repeat(np.arange(len(counts)), counts))


def _summed(links: Links, places: Rows, size: int) -> NDArray[np.float32]:
    """Returns (K, size) float32: the weights of links by place, those of the item `lag` steps back times decay^lag."""
    sums = np.zeros((len(HORIZONS), size), np.float32)
    for at, decays in enumerate(_DECAYS):
        reach = np.searchsorted(links.lags, len(decays))
        sums[at] = np.bincount(places[:reach], links.weights[:reach] * decays[links.lags[:reach]], size)
    return sums / np.float32(ONCE)


def lifted(strengths: NDArray[np.float32], counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Divides (K, C) or (C,) strengths by (count + 1) ^ LIFT; counts: (C,)."""
    divided: NDArray[np.float32] = strengths / (counts + 1) ** LIFT
    return divided

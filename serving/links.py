"""Weighted links from each row to others, kept as what was added to them: pairs of a row and a change of its weight.

A change goes to the end of a byte string, wherever its link lies, and the changes of a link add up to its weight.
Weights are whole numbers, so the sum is the same in whatever order they came. Now and then the changes of a row are
summed, so that a row stays at most some two times as long as its links.

What many touch is linked with nearly everything, sooner or later. So of a row with many links a request is given the
strongest alone, and what was added since they were chosen. All are looked at only when they are chosen anew, now and
then.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from serving.columns import NOTHING, Ragged
from serving.numbering import Numbering

Changes = NDArray[np.int32]
"""(C, 2): rows, and what is added to the weights of the links to them."""

PAIR = 8
"""Bytes of one change."""

ROOM = 64
"""A row's changes are summed when it has twice as many as links, and so many more."""

HIGHEST, AT_MOST = 2**31 - 1, 2**27
"""Of a sum, and of what one partition adds to it: a million times that its users touched one item after another."""

MOST = 600
"""Links of a row that are given to a request; of a row with more the strongest."""

STRONGEST = MOST // 2

CHOSEN_FOR_MS, CHANGES_SINCE = 10_000, 300
"""So long, and for so many changes, these are the same ones, and what was added since. Later they are chosen anew, and
replicas that know the same agree."""

REMEMBERED = 2_000
"""Rows whose strongest links are remembered; those that were chosen first are forgotten first."""


class _Links(bytearray):
    """The changes of one row."""

    __slots__ = ("era", "sum_at")
    era: int
    sum_at: int


class _Chosen(NamedTuple):
    """The strongest links of a row at a moment, encoded, and of how many bytes of changes."""

    links: bytes
    upto: int
    at_ms: int


class LinkTable:
    """The links of each row. What a snapshot brought stays in its file until it is changed.

    A snapshot of it costs a copy of one dictionary: links that it holds are copied before they change.
    """

    def __init__(self, saved: Ragged = NOTHING) -> None:
        self._saved = saved
        self._links: dict[int, _Links] = {}
        self._chosen: dict[int, _Chosen] = {}
        self._era = 0

    def add(self, row: int, changes: Changes) -> None:
        """Adds changes to the links of a row."""
        self._add([(row, changes.tobytes())])

    def add_each(self, rows: Iterable[int], changes: Changes) -> None:
        """Adds one change to the links of each row."""
        raw = changes.tobytes()
        self._add(zip(rows, [raw[start : start + PAIR] for start in range(0, len(raw), PAIR)], strict=True))

    def of(
        self, rows: Sequence[int], now_ms: int, numbering: Numbering, tie: NDArray[np.uint32]
    ) -> tuple[Changes, NDArray[np.int64]]:
        """Returns the changes of some rows, one after the other, (C, 2), and how many each has, (len(rows),).

        A row with many changes gives its links, of more than MOST the STRONGEST, and of those that are equal the ones
        of the lowest `tie`, a number for each row there is.
        """
        found, counts, chosen_of = [], [], []
        for row, saved in zip(rows, self._saved.some(rows), strict=True):
            raw: bytes | bytearray = self._links.get(row, saved)
            links, upto = raw, len(raw)
            if len(raw) > MOST * PAIR:
                links, upto, _ = self._strongest(row, raw, now_ms, numbering, tie)
            found += [links, raw[upto:]]
            chosen_of.append(len(links))
            counts.append(len(links) + len(raw) - upto)
        lengths = np.array([counts, chosen_of], np.int64) // PAIR
        changes = changes_of(bytearray().join(found))
        if counts != chosen_of:
            changes = changes[: _kept(changes, lengths[0], lengths[1])]
        return changes, lengths[0]

    def frozen(self) -> Callable[[int], bytes]:
        """Returns what gives the links of a row, encoded, as they are now, whatever changes later."""
        self._era += 1
        links, saved = self._links.copy(), self._saved

        def encoded(row: int) -> bytes:
            own = links.get(row)
            if own is not None:
                return summed(own)
            return saved[row] if row < len(saved) else b""

        return encoded

    def _add(self, changes: Iterable[tuple[int, bytes]]) -> None:
        for row, raw in changes:
            links = self._links.get(row)
            if links is None or links.era != self._era:
                links = self._links[row] = self._own(row, links)
                self._chosen.pop(row, None)
            links += raw
            if len(links) >= links.sum_at:
                self._links[row] = _links(summed(links), self._era)
                self._chosen.pop(row, None)

    def _own(self, row: int, shared: _Links | None) -> _Links:
        """Returns links that may be changed; those that a snapshot holds are to be summed when they were to be."""
        links = _links(self._raw(row), self._era)
        if shared is not None:
            links.sum_at = shared.sum_at
        return links

    def _strongest(
        self, row: int, raw: bytes | bytearray, now_ms: int, numbering: Numbering, tie: NDArray[np.uint32]
    ) -> _Chosen:
        chosen = self._chosen.get(row)
        if chosen is None or not _holds(chosen, len(raw), now_ms):
            self._chosen.pop(row, None)
            if len(self._chosen) == REMEMBERED:
                del self._chosen[next(iter(self._chosen))]
            links = _strongest(changes_of(bytearray(raw)), numbering, tie)
            chosen = self._chosen[row] = _Chosen(links, len(raw), now_ms)
        return chosen

    def _raw(self, row: int) -> bytes | bytearray | memoryview:
        links = self._links.get(row)
        if links is not None:
            return links
        return self._saved[row] if row < len(self._saved) else b""


def _holds(chosen: _Chosen, size: int, now_ms: int) -> bool:
    """Whether they may still be given: nothing has changed, or not much, and they were chosen not long ago."""
    changed = size - chosen.upto
    return not changed or (changed <= CHANGES_SINCE * PAIR and 0 <= now_ms - chosen.at_ms < CHOSEN_FOR_MS)


def _strongest(changes: Changes, numbering: Numbering, tie: NDArray[np.uint32]) -> bytes:
    to, weights = numbering.summed(changes)
    if np.count_nonzero(weights > 0) > MOST:
        # One number to sort by: the weight, and where that is the same the tie.
        order = (np.minimum(weights, HIGHEST) << 32) - tie.take(to)
        best = np.argpartition(order, -STRONGEST)[-STRONGEST:]
        to, weights = to[best], weights[best]
    kept = weights > 0
    return _pairs(to[kept], weights[kept])


@compiled("int64(int32[:, ::1], int64[::1], int64[::1])")
def _kept(changes: Changes, counts: NDArray[np.int64], chosen: NDArray[np.int64]) -> int:
    """Leaves out what was taken away since a row's first were chosen; returns how many changes are left, all in front.

    Of a link that was not chosen it would leave less than nothing. Sets the counts of the rows to what they have then.
    """
    kept = end = 0
    for at in range(len(counts)):
        start, end, begin = end, end + counts[at], kept
        for place in range(start, end):
            if place < start + chosen[at] or changes[place, 1] > 0:
                changes[kept, 0], changes[kept, 1] = changes[place, 0], changes[place, 1]
                kept += 1
        counts[at] = kept - begin
    return kept


def changes_of(raw: bytes | bytearray) -> Changes:
    """Returns the changes that bytes hold; where these may change, the array may be written to."""
    return np.frombuffer(raw, "<i4").reshape(-1, 2)


def summed(raw: bytes | bytearray) -> bytes:
    """Returns one change for each link, by row; links whose changes add up to nothing are left out."""
    changes = changes_of(bytes(raw))
    rows, places = np.unique(changes[:, 0], return_inverse=True)
    weights = np.bincount(places, changes[:, 1], len(rows))
    kept = weights != 0
    return _pairs(rows[kept], weights[kept])


def _pairs(rows: NDArray[np.int32], weights: NDArray[Any]) -> bytes:
    return np.stack([rows, np.minimum(weights, HIGHEST)], axis=1).astype("<i4").tobytes()


def _links(raw: bytes | bytearray | memoryview, era: int) -> _Links:
    links = _Links(raw)
    links.era, links.sum_at = era, 2 * len(raw) + ROOM * PAIR
    return links

"""Weighted links from each row to others, kept as what was added to them: pairs of a row and a change of its weight.

A change goes to the end of a byte string, wherever its link lies, and the changes of a link add up to its weight.
Weights are whole numbers, so the sum is the same in whatever order they came. Now and then the changes of a row are
summed, so that a row stays at most some two times as long as its links.

What many touch is linked with nearly everything, sooner or later. So of a row with many links a request is given the
strongest alone, which lie in front since its changes were last summed, and the changes since. How many links a row has
beyond that, no request feels.
"""

from collections.abc import Callable, Iterable, Sequence
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled
from serving.columns import NOTHING, Ragged
from serving.numbering import Numbering

Changes = NDArray[np.int32]
"""(C, 2): rows, and what is added to the weights of the links to them."""

PAIR = 8
"""Bytes of one change."""

ROOM, CHANGES_SINCE = 64, 300
"""A row's changes are summed when there are as many since the last time as it had links then, and ROOM more; at the
latest after CHANGES_SINCE."""

HIGHEST, AT_MOST = 2**31 - 1, 2**27
"""Of a sum, and of what one partition adds to it: a million times that its users touched one item after another."""

MOST = 600
"""Links of a row, when its changes were last summed, that are given to a request; of a row with more the strongest."""

STRONGEST = MOST // 2

SETTLED_S, TURN_S = 10, 0.001
"""Changes of rows with many links are summed each so many seconds, even if they are few: replicas that know the same
agree then. And how long that takes at a time, and one row more."""


class ByRow(Protocol):
    """What is known of all rows: how they are numbered, and by which number, equal ones are told apart."""

    numbering: Numbering
    tie: NDArray[np.uint32]


class _Links(bytearray):
    """The changes of one row: up to `whole` its links, once each, and the strongest in front if they are many."""

    __slots__ = ("era", "sum_at", "whole")
    era: int
    sum_at: int
    whole: int


class LinkTable:
    """The links of each row. What a snapshot brought stays in its file until it is changed.

    A snapshot of it costs a copy of one dictionary: links that it holds are copied before they change.
    """

    def __init__(self, rows: ByRow, saved: Ragged = NOTHING) -> None:
        """Takes the links that rows have, as `frozen` encodes them."""
        self._rows = rows
        self._saved = saved
        self._links: dict[int, _Links] = {}
        self._changed: dict[int, None] = {}  # rows of many links with changes to be summed
        self._due: dict[int, None] = {}
        self._looked_s = 0.0
        self._era = 0

    def add(self, row: int, changes: Changes) -> None:
        """Adds changes to the links of a row."""
        self._add([(row, changes.tobytes())])

    def add_each(self, rows: Iterable[int], changes: Changes) -> None:
        """Adds one change to the links of each row."""
        raw = changes.tobytes()
        self._add(zip(rows, [raw[start : start + PAIR] for start in range(0, len(raw), PAIR)], strict=True))

    def of(self, rows: Sequence[int]) -> tuple[Changes, NDArray[np.int64]]:
        """Returns the changes of some rows, one after the other, (C, 2), and how many each has, (len(rows),).

        Of a row that had more than MOST links when its changes were last summed they are those of the STRONGEST, of
        equal ones those of the lowest `tie`, and what was added since.
        """
        found: list[bytes | bytearray] = []
        counts, firsts = [], []
        for row, saved in zip(rows, self._saved.beginnings(rows, MOST * PAIR, STRONGEST * PAIR), strict=True):
            links = self._links.get(row)
            first: bytes | bytearray = saved if links is None else links
            since: bytes | bytearray = b""
            if links is not None and links.whole > MOST * PAIR:
                first, since = links[: STRONGEST * PAIR], links[links.whole :]
            found += [first, since]
            firsts.append(len(first))
            counts.append(len(first) + len(since))
        lengths = np.array([counts, firsts], np.int64) // PAIR
        changes = changes_of(bytearray().join(found))
        if counts != firsts:
            changes = changes[: _kept(changes, lengths[0], lengths[1])]
        return changes, lengths[0]

    def settle(self, now_s: float, turn_s: float = TURN_S) -> bool:
        """Sums, for a moment, what has changed of rows with many links; says whether there is more to sum at once.

        To be called again and again: each SETTLED_S takes all that changed until then.
        """
        if not self._due and now_s - self._looked_s >= SETTLED_S:
            self._due, self._changed, self._looked_s = self._changed, {}, now_s
        until = perf_counter() + turn_s
        while self._due and perf_counter() < until:
            self._sum(self._due.popitem()[0])
        return bool(self._due)

    def frozen(self) -> Callable[[int], bytes]:
        """Returns what gives the links of a row, encoded, as they are now, whatever changes later."""
        self._era += 1
        links, saved, tie = self._links.copy(), self._saved, self._rows.tie

        def encoded(row: int) -> bytes:
            own = links.get(row)
            if own is not None:
                return bytes(own) if len(own) == own.whole else summed(own, tie)
            return saved[row] if row < len(saved) else b""

        return encoded

    def _add(self, changes: Iterable[tuple[int, bytes]]) -> None:
        for row, raw in changes:
            links = self._links.get(row)
            if links is None or links.era != self._era:
                links = self._links[row] = self._own(row, links)
            links += raw
            if len(links) >= links.sum_at:
                self._sum(row)
            elif len(links) > MOST * PAIR:
                self._changed[row] = None

    def _own(self, row: int, shared: _Links | None) -> _Links:
        """Returns links that may be changed."""
        if shared is None:
            return _links(self._saved[row] if row < len(self._saved) else b"", self._era)
        links = _Links(shared)
        links.era, links.sum_at, links.whole = self._era, shared.sum_at, shared.whole
        return links

    def _sum(self, row: int) -> None:
        to, weights = self._rows.numbering.summed(changes_of(self._links[row]))
        self._links[row] = _links(_encoded(to, weights, self._rows.tie), self._era)
        self._changed.pop(row, None)


@compiled("int64(int32[:, ::1], int64[::1], int64[::1])")
def _kept(changes: Changes, counts: NDArray[np.int64], firsts: NDArray[np.int64]) -> int:
    """Leaves out what was taken away since a row's first changes; returns how many changes are left, all in front.

    Of a link that is not among these it would leave less than nothing. Sets the counts of the rows to what is left.
    """
    kept = end = 0
    for at in range(len(counts)):
        start, end, begin = end, end + counts[at], kept
        for place in range(start, end):
            if place < start + firsts[at] or changes[place, 1] > 0:
                changes[kept, 0], changes[kept, 1] = changes[place, 0], changes[place, 1]
                kept += 1
        counts[at] = kept - begin
    return kept


def changes_of(raw: bytes | bytearray) -> Changes:
    """Returns the changes that bytes hold; where these may change, the array may be written to."""
    return np.frombuffer(raw, "<i4").reshape(-1, 2)


def summed(raw: bytes | bytearray, tie: NDArray[np.uint32]) -> bytes:
    """Returns one change for each link; links whose changes add up to nothing are left out. In any thread."""
    changes = changes_of(bytes(raw))
    rows, places = np.unique(changes[:, 0], return_inverse=True)
    return _encoded(rows, np.bincount(places, changes[:, 1], len(rows)).astype(np.int64), tie)


def strongest_first(rows: NDArray[np.int32], weights: NDArray[Any], tie: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Returns an order of (L,) links, more than STRONGEST, that has the strongest in front, in any order themselves."""
    # One number to sort by: the weight, and where that is the same the tie.
    order: NDArray[np.int64] = np.argpartition(tie.take(rows) - (weights.astype(np.int64) << 32), STRONGEST)
    return order


def _encoded(rows: NDArray[np.int32], weights: NDArray[np.int64], tie: NDArray[np.uint32]) -> bytes:
    kept = weights != 0
    rows, weights = rows[kept], np.minimum(weights[kept], HIGHEST)
    if len(rows) > MOST:
        order = strongest_first(rows, weights, tie)
        rows, weights = rows[order], weights[order]
    return np.stack([rows, weights], axis=1).astype("<i4").tobytes()


def _links(raw: bytes, era: int) -> _Links:
    links = _Links(raw)
    links.era, links.whole = era, len(raw)
    links.sum_at = len(raw) + min(len(raw) + ROOM * PAIR, CHANGES_SINCE * PAIR)
    return links

"""Signals as they are read at the start, when nobody is answered yet: put down one after another, added up at the end.

Adding up as each record comes costs a replica several times what reading the topic does, and millions of small
objects; sorting them once by item, as arrays, comes to the same sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from domain.log_reader import Record
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, STAGES
from serving.columns import Pieces, Ragged
from serving.known_ids import KnownIds
from serving.link_sums import linked
from serving.share_reader import ReadShares, Refuse, ShareReader, joined
from serving.shares import RowsOfShares

LOOK_EVERY = 500_000
"""Shares put down between two looks at which are outdated: a log that is not compacted yet holds many of each item."""

HALF_LIVES_DAYS = np.array([*POPULARITY_HALF_LIVES_DAYS, *[STAGE_HALF_LIFE_DAYS] * len(STAGES)])
"""Of the counts of a share, one after the other: by half life, then by stage."""

WAITING = 4_000
"""Shares that are read at once, and a few more."""

Array = NDArray[Any]


@dataclass(frozen=True)
class Sums:
    """What all shares come to.

    Attributes:
        rows: (R,) the rows that have a share, ascending; first_ms, last_ms: (R,) of each.
        logs: (R, H + S) popularity by half life, then by stage, as `Behaviour` keeps them.
        reached: the highest position of each partition.
        shares: every row's, as `Shares` takes them; successors, predecessors: as `LinkTable` takes them.
    """

    rows: Array
    first_ms: Array
    last_ms: Array
    logs: Array
    reached: dict[int, int]
    shares: RowsOfShares
    successors: Ragged
    predecessors: Ragged


class Loading:
    """Takes shares in the order in which they come."""

    def __init__(self, ids: KnownIds, refuse: Refuse) -> None:
        """Takes what gives the rows of ids, and what is told of a record that cannot be read after all."""
        self._reader = ShareReader(ids, refuse)
        self._waiting: list[Record] = []
        self._waiting_rows: list[int] = []
        self._read: list[ReadShares] = []
        self._raw = Pieces()
        self._look_at = LOOK_EVERY

    def put(self, rows: Sequence[int], records: Sequence[Record]) -> None:
        """Takes the records of some items' shares."""
        self._waiting += records
        self._waiting_rows += rows
        if len(self._waiting) >= WAITING:
            self.look_up()

    def look_up(self) -> None:
        """Reads the shares that wait for it; gives rows to new ids."""
        read, raw = self._reader.read(self._waiting, self._waiting_rows)
        self._waiting, self._waiting_rows = [], []
        self._read.append(read.behind(len(self._raw)))
        self._raw.add(raw)
        if len(self._raw) >= self._look_at:
            self._forget_outdated()
            self._look_at = 2 * len(self._raw) + LOOK_EVERY

    def sums(self, size: int, tie: NDArray[np.uint32]) -> Sums:
        """Adds up; `size` is how many rows there are after `look_up`. Nothing can be put afterwards.

        `tie`: a number for each row, by which equal links are told apart.
        """
        order = self._forget_outdated()
        read, counts = self._read[0], np.bincount(self._read[0].rows, minlength=size)
        later = read.rows[read.shares]
        rows, first = np.unique(read.rows[order], return_index=True)
        numbers = read.numbers[order]
        return Sums(
            rows,
            np.minimum.reduceat(numbers["first_ms"], first) if len(rows) else numbers["first_ms"],
            np.maximum.reduceat(numbers["as_of_ms"], first) if len(rows) else numbers["as_of_ms"],
            np.logaddexp2.reduceat(logs_of(numbers), first) if len(rows) else logs_of(numbers),
            _reached(read.partitions[order], numbers["position"]),
            RowsOfShares(counts, read.partitions[order], order, self._raw),
            linked(read.earlier, later, read.weights, size, tie),
            linked(later, read.earlier, read.weights, size, tie),
        )

    def _forget_outdated(self) -> Array:
        """Keeps of each row and partition the share of the highest position; returns the order by both."""
        read = joined(self._read)
        order = _order(read.rows, read.partitions)
        if _again(read, order).any():
            order = np.lexsort((read.numbers["position"], read.partitions, read.rows))  # of equal ones the last counts
            order = order[~np.append(_again(read, order), False)]
            kept = [self._raw[at] for at in order.tolist()]
            read, self._raw = read.only(order), Pieces()
            self._raw.add(Ragged(np.fromiter(map(len, kept), np.int64, len(kept)), b"".join(kept)))
            order = np.arange(len(order))
        self._read = [read]
        return order


def _reached(partitions: Array, positions: Array) -> dict[int, int]:
    return {one: int(positions[partitions == one].max(initial=-1)) for one in np.unique(partitions).tolist()}


def logs_of(numbers: Array) -> Array:
    """Returns log2 of the counts of some shares, (N, H + S), all at one common, arbitrary moment."""
    with np.errstate(divide="ignore"):
        logs: Array = np.log2(numbers["counts"]) + (numbers["as_of_ms"] / DAY_MS)[:, None] / HALF_LIVES_DAYS
    return logs


def _order(*columns: Array) -> Array:
    """Returns the order by columns of numbers >= 0, the first counts most; equal ones as they came.

    Sixteen bits at a time: numbers of that size NumPy sorts by counting them, several times faster than wider ones.
    """
    order = np.arange(len(columns[0]))
    for column in reversed(columns):
        for shift in range(0, int(column.max(initial=0)).bit_length(), 16):
            digits = (column >> shift).astype(np.uint16)
            order = order[np.argsort(digits[order], kind="stable")]
    return order


def _again(read: ReadShares, order: Array) -> Array:
    """Says of each but the last, in an order by row and partition, whether the next is of the same."""
    row, partition = read.rows[order], read.partitions[order]
    same: Array = (row[1:] == row[:-1]) & (partition[1:] == partition[:-1])
    return same

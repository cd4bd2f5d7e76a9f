"""Reads many encoded shares at once: those that a worker wrote all together as arrays, any others one by one."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.errors import MalformedEvent
from domain.log_reader import Record
from learning.signals_record import AT_NUMBERS, BEGINNING, NUMBERS, WrittenShare, read_share
from serving.columns import Ragged
from serving.id_table import IdTable
from serving.links import AT_MOST
from serving.taken_apart import PADDING, predecessors_in

Array = NDArray[Any]
Refuse = Callable[[Record, MalformedEvent], None]
AT_PREDECESSORS = AT_NUMBERS + NUMBERS.itemsize
_BEGINNING = np.frombuffer(BEGINNING, np.uint8)


class ReadShares(NamedTuple):
    """Shares as columns, and their predecessors as columns.

    Attributes:
        rows, partitions, numbers: (N,) of each share.
        shares, earlier, weights: (L,) of each predecessor: which share has it, its row, its weight.
    """

    rows: Array
    partitions: Array
    numbers: Array
    shares: Array
    earlier: Array
    weights: Array

    def behind(self, count: int) -> "ReadShares":
        """Returns the same, numbered from `count` on."""
        return self._replace(shares=self.shares + count)

    def only(self, kept: Array) -> "ReadShares":
        """Returns some of the shares, in this order."""
        places = np.full(len(self.rows), -1)
        places[kept] = np.arange(len(kept))
        shares = places[self.shares]
        of = [self.rows[kept], self.partitions[kept], self.numbers[kept]]
        return ReadShares(*of, *(one[shares >= 0] for one in (shares, self.earlier, self.weights)))


class ShareReader:
    """Reads shares, and knows the rows of the ids that it has met."""

    def __init__(self, rows_of: Callable[[Sequence[str]], list[int]], refuse: Refuse) -> None:
        """Takes what gives the rows of ids, and what is told of a record that cannot be read."""
        self._rows_of = rows_of
        self._refuse = refuse
        self._known = IdTable()

    def read(self, records: Sequence[Record], rows: Sequence[int]) -> tuple[ReadShares, Ragged]:
        """Returns the shares of some records, given the rows of their items, and the same encoded."""
        raw, lengths, block = _joined(records)
        found = self._together(lengths, block)
        if found is None:
            shares, found = self._one_by_one(records)
            records, rows = [records[at] for at in shares], [rows[at] for at in shares]
            raw, lengths, block = _joined(records)
        numbers = b"".join([one[AT_NUMBERS:AT_PREDECESSORS] for one in raw])
        partitions = [one.partition for one in records]
        columns = np.array(rows, np.int32), np.array(partitions, np.int32), np.frombuffer(numbers, NUMBERS)
        return ReadShares(*columns, *found), Ragged(lengths, block[: -len(PADDING)].data)

    def _together(self, lengths: Array, block: Array) -> tuple[Array, Array, Array] | None:
        """Returns the predecessors as `ReadShares` has them; None if any share is not as a worker writes it."""
        if not len(lengths) or lengths.min() <= AT_PREDECESSORS:
            return None
        ends = np.cumsum(lengths)
        begins = ends - lengths
        if (block[begins[:, None] + np.arange(AT_NUMBERS)] != _BEGINNING).any():
            return None  # of another version, whatever the rest looks like
        found = predecessors_in(block, begins + AT_PREDECESSORS, ends)
        if found is None:
            return None
        named = found.hashes
        rows = self._known.find(named)
        new = np.flatnonzero(rows < 0)
        if len(new):
            first = new[np.sort(np.unique(named[new], return_index=True)[1])]
            places = zip(found.starts[first].tolist(), found.lengths[first].tolist(), strict=True)
            try:
                ids = [block[at : at + length].tobytes().decode() for at, length in places]
            except UnicodeDecodeError:
                return None
            self._known.add(named[first], np.array(self._rows_of(ids), np.int32))
            rows[new] = self._known.find(named[new])
        return found.shares, rows, np.minimum(found.weights, AT_MOST).astype(np.int32)

    def _one_by_one(self, records: Sequence[Record]) -> tuple[dict[int, WrittenShare], tuple[Array, Array, Array]]:
        """Returns those that can be read, by their places, and their predecessors."""
        shares_at: dict[int, WrittenShare] = {}
        for at, record in enumerate(records):
            try:
                shares_at[at] = read_share(record.value or b"")
            except MalformedEvent as error:
                self._refuse(record, error)
        before = [one.before for one in shares_at.values()]
        rows = self._rows_of([*chain.from_iterable(before)])
        weights = [min(one, AT_MOST) for one in chain.from_iterable(map(dict.values, before))]
        shares = np.repeat(np.arange(len(before), dtype=np.int32), [*map(len, before)])
        return shares_at, (shares, np.array(rows, np.int32), np.array(weights, np.int32))


def _joined(records: Sequence[Record]) -> tuple[list[bytes], Array, Array]:
    """Returns encoded shares, the length of each, and one after another with PADDING at the end."""
    raw = [one.value or b"" for one in records]
    lengths = np.fromiter(map(len, raw), np.int64, len(raw))
    return raw, lengths, np.frombuffer(bytearray().join([*raw, PADDING]), np.uint8)


def joined(some: Sequence[ReadShares]) -> ReadShares:
    """Returns some shares after one another; `behind` has numbered them."""
    return ReadShares(*(np.concatenate(column) for column in zip(*some, strict=True)))

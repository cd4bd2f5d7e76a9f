"""Reads many encoded shares at once: those that a worker wrote all together as arrays, any others one by one."""

from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from domain.errors import MalformedEvent
from domain.log_reader import Record
from learning.signals_record import AT_NUMBERS, AT_PREDECESSORS, BEGINNING, NUMBERS, WrittenShare, read_share
from serving.columns import Ragged
from serving.known_ids import KnownIds
from serving.links import AT_MOST
from serving.taken_apart import PADDING, predecessors_in

Array = NDArray[Any]
Refuse = Callable[[Record, MalformedEvent], None]
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
    """Reads shares."""

    def __init__(self, ids: KnownIds, refuse: Refuse) -> None:
        """Takes what gives the rows of ids, and what is told of a record that cannot be read."""
        self._ids = ids
        self._refuse = refuse

    def read(self, records: Sequence[Record], rows: Sequence[int]) -> tuple[ReadShares, Ragged]:
        """Returns the shares of some records, given the rows of their items, and the same encoded."""
        raw = [one.value or b"" for one in records]
        lengths, block = one_after_another(raw)
        found = taken_apart(lengths, block, self._ids)
        if found is None:
            shares, found = self._one_by_one(records)
            records, rows = [records[at] for at in shares], [rows[at] for at in shares]
            raw = [one.value or b"" for one in records]
            lengths, block = one_after_another(raw)
        numbers = b"".join([one[AT_NUMBERS:AT_PREDECESSORS] for one in raw])
        partitions = [one.partition for one in records]
        columns = np.array(rows, np.int32), np.array(partitions, np.int32), np.frombuffer(numbers, NUMBERS)
        return ReadShares(*columns, *found), Ragged(lengths, block[: -len(PADDING)].data)

    def _one_by_one(self, records: Sequence[Record]) -> tuple[dict[int, WrittenShare], tuple[Array, Array, Array]]:
        """Returns those that can be read, by their places, and their predecessors."""
        shares_at: dict[int, WrittenShare] = {}
        for at, record in enumerate(records):
            try:
                shares_at[at] = read_share(record.value or b"")
            except MalformedEvent as error:
                self._refuse(record, error)
        before = [one.before for one in shares_at.values()]
        rows = self._ids.rows_of([*chain.from_iterable(before)])
        weights = [min(one, AT_MOST) for one in chain.from_iterable(map(dict.values, before))]
        shares = np.repeat(np.arange(len(before), dtype=np.int32), [*map(len, before)])
        return shares_at, (shares, np.array(rows, np.int32), np.array(weights, np.int32))


def one_after_another(raw: Sequence[bytes]) -> tuple[Array, Array]:
    """Returns the length of each encoded share, and all of them in one block with PADDING at its end."""
    lengths = np.fromiter(map(len, raw), np.int64, len(raw))
    return lengths, np.frombuffer(bytearray().join([*raw, PADDING]), np.uint8)


def taken_apart(lengths: Array, block: Array, ids: KnownIds) -> tuple[Array, Array, Array] | None:
    """Returns the predecessors of shares as `ReadShares` has them, share by share.

    None if there are none, or any is not as a worker writes it.
    """
    if not len(lengths) or lengths.min() <= AT_PREDECESSORS:
        return None
    ends = np.cumsum(lengths)
    begins = ends - lengths
    if (block[begins[:, None] + np.arange(AT_NUMBERS)] != _BEGINNING).any():
        return None  # of another version, whatever the rest looks like
    found = predecessors_in(block, begins + AT_PREDECESSORS, ends)
    if found is None:
        return None
    try:
        rows = ids.rows(found, block)
    except UnicodeDecodeError:
        return None
    return found.shares, rows, np.minimum(found.weights, AT_MOST).astype(np.int32)


def joined(some: Sequence[ReadShares]) -> ReadShares:
    """Returns some shares after one another; `behind` has numbered them."""
    return ReadShares(*(np.concatenate(column) for column in zip(*some, strict=True)))

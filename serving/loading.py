"""Signals as they are read at the start, when nobody is answered yet: put down one after another, added up at the end.

Adding up as each record comes costs a replica several times what reading the topic does, and millions of small
objects; sorting them once by item, as arrays, comes to the same sums.
"""

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGE_HALF_LIFE_DAYS, STAGES
from learning.signals_record import NUMBERS, WrittenShare
from serving.columns import Ragged
from serving.links import AT_MOST, HIGHEST, PAIR

LOOK_EVERY = 500_000
"""Shares put down between two looks at which are outdated: a log that is not compacted yet holds many of each item."""

LINKS_AT_ONCE = 4_000_000
"""Links sorted at once: a hundred bytes each meanwhile."""

SHORT, SMALL = 16, 128
"""MessagePack's one-byte forms: of maps with fewer entries, and of numbers below."""

HALF_LIVES_DAYS = np.array([*POPULARITY_HALF_LIVES_DAYS, *[STAGE_HALF_LIFE_DAYS] * len(STAGES)])
"""Of the counts of a share, one after the other: by half life, then by stage."""

WAITING = 100
"""Shares whose predecessors' rows are looked up at once."""

_PLACE = ("row", "partition", "links")
Array = NDArray[Any]


@dataclass(frozen=True)
class Sums:
    """What all shares come to.

    Attributes:
        rows: (R,) the rows that have a share, ascending; first_ms, last_ms: (R,) of each.
        logs: (R, H + S) popularity by half life, then by stage, as `Behaviour` keeps them.
        shares: every row's, as `Shares` takes them; successors, predecessors: as `LinkTable` takes them.
    """

    rows: Array
    first_ms: Array
    last_ms: Array
    logs: Array
    shares: Ragged
    successors: Ragged
    predecessors: Ragged


class Loading:
    """Takes shares in the order in which they come."""

    def __init__(self, rows_of: Callable[[Sequence[str]], list[int]]) -> None:
        """Takes what gives the rows of ids."""
        self._rows_of = rows_of
        self._places = array("q")  # of each share _PLACE, one after the other
        self._numbers = bytearray()  # of each share NUMBERS
        self._earlier, self._weights = array("i"), array("q")
        self._waiting: list[dict[str, int]] = []
        self._raw: list[bytes] = []
        self._look_at = LOOK_EVERY

    def put(self, row: int, partition: int, share: WrittenShare, raw: bytes) -> None:
        """Takes a share, and the same encoded."""
        before = share.before
        self._places.extend((row, partition, len(before)))
        self._numbers += share.numbers
        self._waiting.append(before)
        self._raw.append(raw)
        if len(self._waiting) >= WAITING:
            self.look_up()
        if len(self._raw) >= self._look_at:
            self._forget_outdated()
            self._look_at = 2 * len(self._raw) + LOOK_EVERY

    def sums(self, size: int) -> Sums:
        """Adds up; `size` is how many rows there are after `look_up`. Nothing can be put afterwards."""
        self._forget_outdated()
        places, numbers = self._columns()
        rows, first = np.unique(places["row"], return_index=True)
        later = np.repeat(places["row"], places["links"])
        earlier, weights = (
            np.frombuffer(self._earlier, np.int32),
            np.minimum(np.frombuffer(self._weights, np.int64), AT_MOST),
        )
        return Sums(
            rows,
            np.minimum.reduceat(numbers["first_ms"], first) if len(rows) else numbers["first_ms"],
            np.maximum.reduceat(numbers["as_of_ms"], first) if len(rows) else numbers["as_of_ms"],
            np.logaddexp2.reduceat(logs_of(numbers), first) if len(rows) else logs_of(numbers),
            self._shares(places["row"], places["partition"], size),
            linked(earlier, later, weights, size),
            linked(later, earlier, weights, size),
        )

    def look_up(self) -> None:
        """Notes the rows and weights of the predecessors of those shares that wait for it; gives rows to new ids."""
        waiting, self._waiting = self._waiting, []
        self._earlier.extend(self._rows_of([*chain.from_iterable(waiting)]))
        self._weights.extend([*chain.from_iterable(map(dict.values, waiting))])

    def _columns(self) -> tuple[dict[str, Array], Array]:
        places = np.frombuffer(self._places, np.int64).reshape(-1, len(_PLACE)).T
        return dict(zip(_PLACE, places, strict=True)), np.frombuffer(self._numbers, NUMBERS)

    def _forget_outdated(self) -> None:
        """Keeps of each row and partition the share of the highest position, and sorts by both."""
        self.look_up()
        places, numbers = self._columns()
        # Stable: of equal ones the last.
        order = np.lexsort((numbers["position"], places["partition"], places["row"]))
        row, partition = places["row"][order], places["partition"][order]
        last = np.ones(len(order), np.bool_)
        last[:-1] = (row[1:] != row[:-1]) | (partition[1:] != partition[:-1])
        kept = order[last]
        lengths = places["links"]
        links = _ranges(np.cumsum(lengths) - lengths, lengths, kept)
        self._numbers = bytearray(numbers[kept])
        self._earlier = _column(np.frombuffer(self._earlier, np.int32)[links], "i")
        self._weights = _column(np.frombuffer(self._weights, np.int64)[links], "q")
        self._places = _column(np.frombuffer(self._places, np.int64).reshape(-1, len(_PLACE))[kept], "q")
        self._raw = [self._raw[at] for at in kept.tolist()]

    def _shares(self, rows: Array, partitions: Array, size: int) -> Ragged:
        """Puts the encoded shares of each row together without decoding them, as `pack` of a dictionary would."""
        raw, owners = self._raw, partitions.tolist()
        counts = np.bincount(rows, minlength=size)
        each = np.fromiter(map(len, raw), np.int64, len(raw)) - 1 + np.where(partitions < SMALL, 1, 5)
        lengths = np.bincount(rows, each, size).astype(np.int64) + np.where(counts < SHORT, 2, 4) * (counts > 0)
        block = mmap(-1, int(lengths.sum())) if raw else b""
        start = end = 0
        for count, length in zip(counts.tolist(), lengths.tolist(), strict=True):
            if count:
                chosen = slice(start, start + count)
                block[end : end + length] = _row(owners[chosen], raw[chosen])  # type: ignore[index]
                raw[chosen] = [b""] * count  # each goes as it is copied: together they are most of the memory
                start, end = start + count, end + length
        return Ragged(lengths, block)


def logs_of(numbers: Array) -> Array:
    """Returns log2 of the counts of some shares, (N, H + S), all at one common, arbitrary moment."""
    with np.errstate(divide="ignore"):
        logs: Array = np.log2(numbers["counts"]) + (numbers["as_of_ms"] / DAY_MS)[:, None] / HALF_LIVES_DAYS
    return logs


def linked(source: Array, target: Array, weights: Array, size: int) -> Ragged:
    """Returns where each row leads to, weights of equal links added up, encoded as `LinkTable` reads them."""
    counts = np.bincount(source, minlength=size)
    cuts = np.searchsorted(np.cumsum(counts), np.arange(LINKS_AT_ONCE, len(source), LINKS_AT_ONCE), "right")
    lengths, blocks = [], []
    for start, end in pairwise([0, *np.unique(cuts).tolist(), size]):
        within = (source >= start) & (source < end)
        some = _linked(source[within] - start, target[within], weights[within], end - start)
        lengths.append(some[0])
        blocks.append(some[1])
    return Ragged(np.concatenate(lengths), b"".join(blocks))


def _linked(source: Array, target: Array, weights: Array, size: int) -> tuple[Array, bytes]:
    order = _order(source, target)
    source, target, weights = source[order], target[order], weights[order]
    new = np.ones(len(source), np.bool_)
    new[1:] = (source[1:] != source[:-1]) | (target[1:] != target[:-1])
    first = np.flatnonzero(new)
    sums = np.add.reduceat(weights, first) if len(first) else weights
    source, target = source[first][sums > 0], target[first][sums > 0]
    pairs = np.stack([target, np.minimum(sums[sums > 0], HIGHEST)], axis=1).astype("<i4")
    return PAIR * np.bincount(source, minlength=size), pairs.tobytes()


def _order(first: Array, second: Array) -> Array:
    """Returns the order by two columns of numbers >= 0, equal pairs as they came.

    Where both and the place fit one number, such numbers are sorted, which NumPy does several times faster.
    """
    bits, places = int(second.max(initial=0)).bit_length(), len(first).bit_length()
    if int(first.max(initial=0)).bit_length() + bits + places >= 64:
        return np.lexsort((second, first))
    keys = first.astype(np.int64) << (bits + places)
    keys |= second.astype(np.int64) << places
    keys |= np.arange(len(keys))
    keys.sort()
    keys &= (1 << places) - 1
    return keys


def _row(partitions: list[int], raw: list[bytes]) -> bytes:
    count = len(partitions)
    head = bytes([0x80 | count]) if count < SHORT else b"\xde" + count.to_bytes(2, "big")
    pairs = (_number(one) + share[1:] for one, share in zip(partitions, raw, strict=True))
    return raw[0][:1] + head + b"".join(pairs)


def _number(value: int) -> bytes:
    return bytes([value]) if value < SMALL else b"\xce" + value.to_bytes(4, "big")


def _ranges(starts: Array, lengths: Array, chosen: Array) -> Array:
    """Returns the numbers of all ranges that are chosen, one range after another."""
    counts = lengths[chosen]
    before = np.cumsum(counts) - counts
    return np.repeat(starts[chosen] - before, counts) + np.arange(counts.sum())


def _column(values: Array, code: str) -> "array[Any]":
    column: array[Any] = array(code)
    column.frombytes(np.ascontiguousarray(values).tobytes())
    return column

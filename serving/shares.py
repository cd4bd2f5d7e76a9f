"""The partitions' shares of each item's signals."""

from collections.abc import Callable, Iterable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.codecs import FORMAT, pack, unpack
from learning.signals_record import AT_NUMBERS, AT_PREDECESSORS, position_of, read_share
from serving.columns import NOTHING, Pieces, Ragged
from serving.known_ids import KnownIds
from serving.links import AT_MOST
from serving.share_reader import one_after_another, taken_apart

_NO_LINKS = np.empty(0, np.int32)


class Share(msgspec.Struct, frozen=True, gc=False):
    """What a replica adds up of a partition's share, and the share as it was written.

    Attributes:
        position, numbers: see `WrittenShare`.
        earlier, weights: (L,) int32, the rows of the predecessors and their weights.
    """

    position: int = -1
    numbers: bytes = b""
    earlier: NDArray[np.int32] = _NO_LINKS
    weights: NDArray[np.int32] = _NO_LINKS
    raw: bytes = b""


NO_SHARE = Share()
SHORT, SMALL = 16, 128
"""MessagePack's one-byte forms: of maps with fewer entries, and of numbers below."""

RowShares = dict[int, Share]
"""By partition; never changed in place."""


def shares_of(raw: Sequence[bytes], ids: KnownIds) -> list[Share]:
    """Returns the shares that are encoded so.

    Raises:
        OtherVersion, MalformedEvent: of any, as `read_share`.
    """
    found = taken_apart(*one_after_another(raw), ids)
    if found is None:
        return [_spelled_out(one, ids) for one in raw]
    of, earlier, weights = found
    ends = np.searchsorted(of, np.arange(len(raw) + 1)).tolist()
    return [
        # Copies, or each would hold on to those of all.
        Share(position_of(one), one[AT_NUMBERS:AT_PREDECESSORS], earlier[at:end].copy(), weights[at:end].copy(), one)
        for one, at, end in zip(raw, ends, ends[1:], strict=False)
    ]


def _spelled_out(raw: bytes, ids: KnownIds) -> Share:
    """Reads a share that is written otherwise than a worker does, or lies among such."""
    written = read_share(raw)
    earlier = np.array(ids.rows_of([*written.before]), np.int32)
    weights = np.array([min(one, AT_MOST) for one in written.before.values()], np.int32)
    return Share(written.position, written.numbers, earlier, weights, raw)


class RowsOfShares:
    """The shares of each row as a snapshot holds them, put together from single ones when they are asked for."""

    def __init__(
        self, counts: NDArray[np.int64], partitions: NDArray[np.int64], places: NDArray[np.int64], shares: Pieces
    ) -> None:
        """Takes how many each row has, of all, row by row, the partitions and the places, and what lies there."""
        self._ends = np.cumsum(counts)
        self._partitions, self._places = partitions, places
        self._shares = shares

    def __len__(self) -> int:
        return len(self._ends)

    def __getitem__(self, row: int) -> bytes:
        """Returns what `pack` makes of the shares of a row by partition; nothing for none."""
        places = range(self._ends[row - 1] if row else 0, self._ends[row])
        if not places:
            return b""
        count = len(places)
        head = bytes([0x80 | count]) if count < SHORT else b"\xde" + count.to_bytes(2, "big")
        pairs = [_number(int(self._partitions[one])) + self._share(one) for one in places]
        return FORMAT + head + b"".join(pairs)

    def _share(self, number: int) -> bytes:
        return self._shares[self._places.item(number)][len(FORMAT) :]


class Shares:
    """Shares by row and partition. What a snapshot brought stays encoded until it is asked for."""

    def __init__(self, ids: KnownIds, saved: Ragged | RowsOfShares = NOTHING) -> None:
        """Takes what gives the rows of ids, and what a snapshot brought."""
        self._ids = ids
        self._saved = saved
        self._rows: dict[int, RowShares] = {}

    def of(self, row: int) -> RowShares:
        """Returns the shares of a row by partition; empty if there are none."""
        if row not in self._rows:
            self.hold([row])
        return self._rows[row]

    def hold(self, rows: Iterable[int]) -> None:
        """Decodes the shares of some rows, all at once; those that are decoded stay so."""
        some = {row: self.encoded(row) for row in rows if row not in self._rows}
        decoded = iter(shares_of([raw for one in some.values() for raw in one.values()], self._ids))
        self._rows |= {row: {one: next(decoded) for one in raw} for row, raw in some.items()}

    def encoded(self, row: int) -> dict[int, bytes]:
        """Returns the same as they were written: each a `WrittenShare`."""
        held = self._rows.get(row)
        if held is not None:
            return {one: share.raw for one, share in held.items()}
        raw = self._saved[row] if row < len(self._saved) else b""
        return {one: FORMAT + bytes(rest) for one, rest in unpack(raw, dict[int, msgspec.Raw]).items()} if raw else {}

    def put(self, row: int, partition: int, share: Share | None) -> None:
        """Takes a share; None takes it away."""
        held = {one: other for one, other in self.of(row).items() if one != partition}
        if share is not None:
            held[partition] = share
        self._rows[row] = held

    def frozen(self) -> Callable[[int], bytes]:
        """Returns what gives the shares of a row, encoded, as they are now, whatever changes later."""
        rows, saved = self._rows.copy(), self._saved

        def encoded(row: int) -> bytes:
            held = rows.get(row)
            if held is not None:
                return (
                    pack({one: msgspec.Raw(share.raw[len(FORMAT) :]) for one, share in held.items()}) if held else b""
                )
            return saved[row] if row < len(saved) else b""

        return encoded


def _number(value: int) -> bytes:
    return bytes([value]) if value < SMALL else b"\xce" + value.to_bytes(4, "big")

"""The partitions' shares of each item's signals."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.codecs import FORMAT, pack, unpack
from learning.signals_record import WrittenShare, read_share
from serving.columns import NOTHING, Pieces, Ragged
from serving.links import AT_MOST

_NO_LINKS = np.empty(0, np.int32)


class Share(msgspec.Struct, frozen=True, gc=False):
    """What a replica adds up of a partition's share, and the share as it was written.

    Attributes:
        position, numbers: see `WrittenShare`.
        earlier, weights: (L,) int32, the rows of the predecessors, each once, and their weights.
        named: a hash of the predecessors' ids.
    """

    position: int = -1
    numbers: bytes = b""
    earlier: NDArray[np.int32] = _NO_LINKS
    weights: NDArray[np.int32] = _NO_LINKS
    named: int = 0
    raw: bytes = b""


NO_SHARE = Share()
SHORT, SMALL = 16, 128
"""MessagePack's one-byte forms: of maps with fewer entries, and of numbers below."""

RowShares = dict[int, Share]
"""By partition; never changed in place."""


def share_of(
    written: WrittenShare, raw: bytes, rows_of: Callable[[Sequence[str]], list[int]], before: Share = NO_SHARE
) -> Share:
    """Returns the share that is written so, given encoded as well.

    A worker puts new predecessors behind those of the share before, so most mostly come first again: to compare their
    ids all at once takes a tenth of the time that looking each up does.
    """
    ids, known = [*written.before], len(before.earlier)
    if known and hash(tuple(ids[:known])) == before.named:
        earlier = np.concatenate([before.earlier, np.array(rows_of(ids[known:]), np.int32)])
    else:
        earlier = np.array(rows_of(ids), np.int32)
    return Share(
        written.position,
        written.numbers,
        earlier,
        np.minimum(np.fromiter(written.before.values(), np.int64, len(ids)), AT_MOST).astype(np.int32),
        hash(tuple(ids)),
        raw,
    )


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

    def __init__(self, rows_of: Callable[[Sequence[str]], list[int]], saved: Ragged | RowsOfShares = NOTHING) -> None:
        """Takes what gives the rows of ids, and what a snapshot brought."""
        self._rows_of = rows_of
        self._saved = saved
        self._rows: dict[int, RowShares] = {}

    def of(self, row: int) -> RowShares:
        """Returns the shares of a row by partition; empty if there are none."""
        held = self._rows.get(row)
        if held is None:
            held = {one: self._decoded(raw) for one, raw in self.encoded(row).items()}
        return held

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

    def _decoded(self, raw: bytes) -> Share:
        return share_of(read_share(raw), raw, self._rows_of)


def _number(value: int) -> bytes:
    return bytes([value]) if value < SMALL else b"\xce" + value.to_bytes(4, "big")

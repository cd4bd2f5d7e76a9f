"""The partitions' shares of each item's signals."""

from collections.abc import Callable

from domain.codecs import pack, unpack
from learning.signals import ItemSignals
from serving.columns import NOTHING, Ragged

RowShares = dict[int, ItemSignals]
"""By partition; never changed in place."""


class Shares:
    """Shares by row and partition. What a snapshot brought stays encoded until it is asked for."""

    def __init__(self, saved: Ragged = NOTHING) -> None:
        self._saved = saved
        self._rows: dict[int, RowShares] = {}

    def of(self, row: int) -> RowShares:
        """Returns the shares of a row by partition; empty if there are none."""
        held = self._rows.get(row)
        if held is None and row < len(self._saved):
            raw = self._saved[row]
            held = unpack(raw, RowShares) if raw else {}
        return held or {}

    def put(self, row: int, partition: int, share: ItemSignals | None) -> None:
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
                return pack(held) if held else b""
            return saved[row] if row < len(saved) else b""

        return encoded

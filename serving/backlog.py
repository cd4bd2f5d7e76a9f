"""Signals that were fetched and are not applied yet: what need not be done before a profile is."""

from collections.abc import Sequence

from domain.errors import EventError
from domain.log_reader import Record
from learning.signals_record import position_of, read_share

FULL = 5_000
"""So many records wait at most, some half a second of work, before reading stops until they are done."""


class Backlog:
    """The newest record of each key, in the order in which they lie; the last of a partition is always among them.

    A replica that has fallen behind has more of an item at once, so what it still has to do shrinks. A record that
    may be older than what lies before it, as a late write of a worker that lost its partitions is, takes nobody's
    place: it is left to be refused.
    """

    def __init__(self) -> None:
        self._newest: dict[tuple[int, bytes | None, int], Record] = {}

    def __len__(self) -> int:
        return len(self._newest)

    @property
    def is_full(self) -> bool:
        """Whether no more should be taken before some is done."""
        return len(self._newest) >= FULL

    def take(self, records: Sequence[Record]) -> None:
        """Takes records of a partition, ascending by offset."""
        newest = self._newest
        for record in records:
            key = (record.partition, record.key, -1)
            before = newest.get(key)
            if before is not None and _may_be_older(record, before):
                newest[record.partition, record.key, record.offset] = record
                continue
            newest.pop(key, None)
            newest[key] = record

    def give(self, count: int) -> list[Record]:
        """Returns the first of them, at most `count`, which are then no longer here."""
        keys = [key for key, _ in zip(self._newest, range(count), strict=False)]
        return [self._newest.pop(key) for key in keys]


def _may_be_older(record: Record, before: Record) -> bool:
    if record.value is None or before.value is None:
        return False
    try:
        return read_share(record.value).position < position_of(before.value)
    except EventError:
        return True

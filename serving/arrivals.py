"""Shares that have arrived and are not taken in yet: decoded all at once, which takes half of what one by one does."""

from collections.abc import Iterator, Sequence

from domain.errors import MalformedEvent
from domain.log_reader import Record
from serving.known_ids import KnownIds
from serving.refused import refused
from serving.shares import Share, shares_of


class Arrivals:
    """Records of shares, with the rows of their items, in the order in which they came."""

    def __init__(self, ids: KnownIds) -> None:
        """Takes what knows the rows of the predecessors' ids."""
        self._ids = ids
        self._waiting: list[tuple[int, Record]] = []

    def put(self, row: int, record: Record) -> None:
        """Takes the record of one partition's share of an item's signals."""
        self._waiting.append((row, record))

    @property
    def rows(self) -> set[int]:
        """The rows of the items whose shares wait."""
        return {row for row, _ in self._waiting}

    def take(self) -> list[tuple[int, int, Share | None]]:
        """Returns row, partition and share of each, None for one that is taken away; none of them waits any longer.

        What cannot be read is told of, counted and left out.
        """
        waiting, self._waiting = self._waiting, []
        shares = self._read([record for _, record in waiting])
        return [
            (row, record.partition, share)
            for (row, record), share in zip(waiting, shares, strict=True)
            if share is not None or record.value is None
        ]

    def _read(self, records: Sequence[Record]) -> Iterator[Share | None]:
        """Gives the share of each record; None for one without, and for one that cannot be read."""
        some = [record.value for record in records if record.value is not None]
        try:
            shares = iter(shares_of(some, self._ids))
        except MalformedEvent as error:
            if len(records) == 1:
                refused(records[0], error)
                yield None
                return
            for record in records:
                yield from self._read([record])
            return
        yield from (None if record.value is None else next(shares) for record in records)

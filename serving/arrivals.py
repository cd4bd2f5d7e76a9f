"""Records of shares that arrived together: decoded all at once, which takes half of what one by one does."""

from collections.abc import Iterator, Sequence

from domain.errors import MalformedEvent
from domain.log_reader import Record
from serving.known_ids import KnownIds
from serving.refused import refused
from serving.shares import Share, shares_of

Arrived = tuple[str, Record]
"""An item's id, and the record of one partition's share of its signals."""


def readable(arrived: Sequence[Arrived], ids: KnownIds) -> Iterator[tuple[str, int, Share | None]]:
    """Gives item id, partition and share of each, in order; None for one that is taken away.

    What cannot be read is told of, counted and left out.
    """
    some = [record.value for _, record in arrived if record.value is not None]
    try:
        shares = iter(shares_of(some, ids))
    except MalformedEvent as error:
        if len(arrived) == 1:
            refused(arrived[0][1], error)
            return
        for one in arrived:
            yield from readable([one], ids)
        return
    for item_id, record in arrived:
        yield item_id, record.partition, None if record.value is None else next(shares)

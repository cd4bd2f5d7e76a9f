"""Records as they are read at the start, many of one topic at once: in half to four fifths of the time of one by one.

Only what is usual is taken so. A piece with anything else in it, such as a deletion, a damaged record or an item that
is held already, is left to be applied one by one, which is also where what is wrong with a record is told.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

from domain.codecs import unpack
from domain.errors import EventError
from domain.items import decode_item
from domain.log_reader import Record
from domain.settings import ServingSettings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS
from embeddings.item_embedding import ItemEmbedding
from serving.behaviour import Behaviour
from serving.catalogue import Catalogue

PIECE = 250
"""Records at once: one that is unusual leaves so many to be applied one by one. Their vectors lie in the processor's
cache meanwhile."""


class Many:
    """Takes records all at once or not at all."""

    def __init__(self, settings: ServingSettings, catalogue: Catalogue, behaviour: Behaviour) -> None:
        """Takes what is to be filled, and the settings for the names of the topics."""
        self._catalogue = catalogue
        self._behaviour = behaviour
        self._takers: dict[str, Callable[[list[str], Sequence[Record]], bool]] = {
            settings.topic(ITEMS): self._items,
            settings.topic(ITEM_EMBEDDINGS): self._embeddings,
            settings.topic(ITEM_SIGNALS): behaviour.put_down,
        }

    def left_of(self, records: Sequence[Record]) -> Iterator[Record]:
        """Takes what it can of some records and gives the others, each to be applied before the next is asked for."""
        for topic, some in groupby(records, attrgetter("topic")):
            alike, take = [*some], self._takers.get(topic)
            for at in range(0, len(alike), PIECE):
                piece = alike[at : at + PIECE]
                if take is None or not _taken(take, piece):
                    yield from piece

    def _items(self, keys: list[str], records: Sequence[Record]) -> bool:
        items = [decode_item(one.value) for one in records if one.value is not None]
        return [one.item_id for one in items] == keys and self._catalogue.put_new(
            items, [one.timestamp for one in records]
        )

    def _embeddings(self, keys: list[str], records: Sequence[Record]) -> bool:
        embeddings = [unpack(one.value, ItemEmbedding) for one in records if one.value is not None]
        return len(embeddings) == len(keys) and self._catalogue.put_embeddings(keys, embeddings)


def _taken(take: Callable[[list[str], Sequence[Record]], bool], records: Sequence[Record]) -> bool:
    try:
        return take([(one.key or b"").decode() for one in records], records)
    except (EventError, UnicodeDecodeError):
        return False

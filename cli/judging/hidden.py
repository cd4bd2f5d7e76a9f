"""Items made new: nothing that learns hears what happens to them, so each of their choices is as a first one.

In most logs the items that nobody touched before are a handful and few of them are chosen. Holding items out is the
customary remedy (Schein et al., Methods and metrics for cold-start recommendations, SIGIR 2002): chosen by chance,
they are as good as any other, and only their texts, categories and dates tell.
"""

from collections.abc import Iterable
from zlib import crc32

from domain.interactions import Interaction

OF = 20
JUDGED, TEACHING = 2, 1
"""Of 20 items so many are judged, and so many teach. More would be more than a request looks at, see sources.fresh."""


class Hidden:
    """Some of the items, picked by a hash of their ids.

    The choices of most are judged; from those of the others the ranker learns how new items are chosen. So no item is
    judged that anything was learned from.

    Attributes:
        judged, teaching: item ids.
    """

    def __init__(self, item_ids: Iterable[str]) -> None:
        parts = {one: crc32(one.encode()) % OF for one in item_ids}
        self.judged = frozenset(one for one, part in parts.items() if part < JUDGED)
        self.teaching = frozenset(one for one, part in parts.items() if JUDGED <= part < JUDGED + TEACHING)
        self._chosen: set[tuple[str, str]] = set()

    def __contains__(self, item_id: str) -> bool:
        return item_id in self.judged or item_id in self.teaching

    def first(self, interaction: Interaction) -> bool:
        """Whether it is no user's second choice of a hidden item, which profiles cannot know; remembers it."""
        choice = (interaction.user_id, interaction.item_id)
        if choice in self._chosen:
            return False
        if interaction.item_id in self:
            self._chosen.add(choice)
        return True

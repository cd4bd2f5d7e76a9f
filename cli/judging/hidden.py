"""Items made new: nothing that learns hears what happens to them, so each of their choices is as a first one.

In most logs the items that nobody touched before are a handful and few of them are chosen. Holding items out is the
customary remedy (Schein et al., Methods and metrics for cold-start recommendations, SIGIR 2002): chosen by chance,
they are as good as any other, and only their texts, categories and dates tell.
"""

from collections.abc import Iterable
from zlib import crc32

from domain.interactions import Interaction

OF = 10
"""One item in so many is judged, and one in so many teaches."""

JUDGED, TEACHING = 0, 1
"""Which of the OF parts."""


class Hidden:
    """A fifth of the items, picked by a hash of their ids.

    From the choices of half of them the ranker learns how new items are chosen; the choices of the other half are
    judged. So no item is judged that anything was learned from.

    Attributes:
        judged, teaching: item ids.
    """

    def __init__(self, item_ids: Iterable[str]) -> None:
        parts: dict[int, set[str]] = {JUDGED: set(), TEACHING: set()}
        for one in item_ids:
            parts.get(crc32(one.encode()) % OF, set()).add(one)
        self.judged, self.teaching = frozenset(parts[JUDGED]), frozenset(parts[TEACHING])
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

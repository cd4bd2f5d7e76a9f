"""What a recommendation is asked for, and what is known of the asker: the value the request path works on."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from domain.profile import Touch
from learning.interests import interests, touch_weights
from learning.ranker import Context, context_of
from learning.signals import stage_of
from serving.covisits import FORWARD_LIFTS, SITTING, Covisits, Led, covisits
from serving.numbering import absent, highest
from serving.read_model import ReadModel
from serving.sequence_space import SequenceSpace

LED_TO = 20

_Labels = Annotated[list[Annotated[str, Meta(max_length=128)]], Meta(max_length=64)]
_Scalar = str | float | bool | None
_Scalars = Annotated[list[_Scalar], Meta(max_length=64)]


class AttributeRange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Bounds of a number, both inclusive; a missing one is open."""

    min: float | None = None
    max: float | None = None


class ItemFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which items a request wants: every condition that is given must hold.

    `categories` and `tags`: at least one in common. `price` and an attribute's range: the number lies in
    it; an item without the number fails. An attribute's value: equal, or one of a list. `exclude`: none of
    the items that this inner filter describes; an inner one has no `exclude` of its own.
    """

    categories: _Labels = []
    tags: _Labels = []
    price: AttributeRange | None = None
    attributes: Annotated[dict[str, _Scalar | _Scalars | AttributeRange], Meta(max_length=16)] = {}
    exclude: "ItemFilter | None" = None


class Boost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Multiplies the score of the items that a filter describes; below 1 it demotes."""

    filter: ItemFilter
    factor: Annotated[float, Meta(gt=0, le=100)]


class HistoryEvent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One interaction of a caller who brings the history along; the first is the oldest."""

    item_id: Annotated[str, Meta(min_length=1, max_length=128)]
    type: str = "click"
    value: float | None = None


class Expected(NamedTuple):
    """What the user is looking for, (M,) float32, in the space of one version of the model."""

    space: SequenceSpace
    user: NDArray[np.float32]


@dataclass
class Query:
    """One request, ready for the sources.

    Attributes:
        touches: the user's interactions, ascending in time; empty for someone unknown.
        rows: (T,) int64: the catalogue row of each touch, -1 where the item is gone or never came.
        weights: (T,) float32: the pull of each touch now.
        limit: how many candidates of a source the page before was chosen from; 0 on the first page.
    """

    user_id: str
    count: int
    now_ms: int
    touches: tuple[Touch, ...]
    model: ReadModel
    scenario: str = ""
    explain: bool = True
    exclude: frozenset[str] = frozenset()
    filter: ItemFilter | None = None
    boost: list[Boost] = field(default_factory=list)
    diversity: float = 0.0
    rotation: float = 0.0
    offset: int = 0
    limit: int = 0
    explore_share: float = 0.0
    reasons: bool = True
    _led: tuple[NDArray[np.int64], Led] | None = field(default=None, init=False, repr=False)

    @cached_property
    def rows(self) -> NDArray[np.int64]:
        """(T,) int64: the catalogue row of each touch, -1 where the item is gone or never came."""
        catalogue, row_of = self.model.catalogue, self.model.catalogue.rows.get
        rows = np.array([row_of(touch.item_id, -1) for touch in self.touches], np.int64)
        rows[~catalogue.live[rows]] = -1
        return rows

    @cached_property
    def touched(self) -> NDArray[np.int64]:
        """Distinct rows of the items that the user has touched."""
        return self.model.catalogue.numbering.distinct(self.rows[self.rows >= 0])

    @cached_property
    def seen(self) -> NDArray[np.int64]:
        """Rows of the items that the user has seen, as far as the profile remembers: their types mark them so."""
        types = self.model.types
        marking = {name for name, kind in types.items() if kind.marks_seen}
        return self.rows[np.array([touch.type in marking for touch in self.touches], np.bool_)]

    def unseen(self, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Returns True for those of (C,) rows that the user has not seen, as far as the profile remembers."""
        return absent(self._seen_once, rows)

    @cached_property
    def _seen_once(self) -> NDArray[np.int64]:
        return self.model.catalogue.numbering.distinct(self.seen[self.seen >= 0])

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """(T,) float32: the pull of each touch now."""
        return touch_weights(self.touches, self.model.types)

    @cached_property
    def vectors(self) -> NDArray[np.float32]:
        """(T, D) float32: the text vector of each touched item, zero where there is none."""
        return self.model.catalogue.vectors[self.rows]

    @cached_property
    def liked(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The places of the touches that pull, (L,), and the text vectors of what was touched, (L, D)."""
        places = np.flatnonzero((self.weights > 0) & (self.rows >= 0))
        return places, self.vectors[places]

    @cached_property
    def interests(self) -> NDArray[np.float32]:
        """(K, D) float32, unit rows: the profile vectors, the heaviest first; (0, D) without a history."""
        return interests(self.vectors, self.weights)

    @cached_property
    def stage(self) -> int:
        """Which of STAGES the user's history belongs to."""
        return stage_of(len(self.touches))

    @cached_property
    def context(self) -> Context:
        """Which weights of the ranker apply; without a history the pause is the longest."""
        pause_ms = self.now_ms - self.touches[-1].event_time if self.touches else self.now_ms
        return context_of(len(self.touches), pause_ms)

    @cached_property
    def covisits(self) -> Covisits:
        """What the recent items lead to."""
        return covisits(self)

    def led(self, rows: NDArray[np.int64]) -> Led:
        """Returns how strongly the recent items are linked with (C,) candidates.

        What was asked for last is kept: more than one feature family asks, and for the same candidates.
        """
        if self._led is None or self._led[0] is not rows:
            self._led = rows, self.covisits.of(rows, self.model.catalogue.numbering)
        return self._led[1]

    @cached_property
    def led_to(self) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """The rows that the latest items lead to most, popularity divided out, and their text vectors; for reasons.

        At most LED_TO of them.
        """
        found = self.covisits
        lifts = found.strengths(FORWARD_LIFTS, SITTING)
        rows = found.rows[highest(lifts, self.model.catalogue.tie.take(found.rows), LED_TO)]
        return rows, self.model.catalogue.vectors[rows]

    @cached_property
    def sequence(self) -> Expected | None:
        """What the sequence model expects the user to look for now; None without a model."""
        space = self.model.sequence_space()
        if space is None:
            return None
        touches, rows = self.touches, self.rows
        chosen = [at for at in range(len(touches)) if rows[at] >= 0 and touches[at].type in self.model.pulling]
        newest = chosen[-space.encoder.length :]
        times = np.array([touches[at].event_time for at in newest], np.int64)
        return Expected(space, space.encoder.user_vector(space.items(rows[newest]), times, self.now_ms))

    @cached_property
    def recent(self) -> list[int]:
        """The newest distinct items that the user liked, as places in `touches`, the newest first."""
        found: dict[int, int] = {}
        touches, rows, pulling = self.touches, self.rows.tolist(), self.model.pulling
        most = self.model.settings.recent_items
        for at in range(len(touches) - 1, -1, -1):
            if touches[at].type in pulling and rows[at] >= 0 and rows[at] not in found:
                found[rows[at]] = at
                if len(found) == most:
                    break
        return list(found.values())

    @cached_property
    def recent_rows(self) -> NDArray[np.int64]:
        """The rows of these."""
        return self.rows[np.array(self.recent, np.int64)]


def stored_query(model: ReadModel, user_id: str, count: int, now_ms: int) -> Query:
    """Returns the query of a user with their stored profile and the replica's settings, nothing else asked for."""
    profile = model.profile(user_id)
    return Query(
        user_id=user_id,
        count=count,
        now_ms=now_ms,
        touches=profile.touches if profile else (),
        model=model,
        diversity=model.settings.diversity,
        explore_share=model.settings.explore_share,
    )

"""A profile while batches add to it: it stays packed, and what is simply the next interaction is put at its end.

Nearly every interaction is its user's newest and has not been seen before. Then nothing of the profile has to be
unpacked to insert it, as `domain.profile.insert` would; whatever else it may be is left to that function.
"""

import msgspec

from domain.codecs import pack, unpack
from domain.profile import Insertion, Profile, Touch, insert
from learning.signals import LOOK_BACK, predecessors

KEPT = LOOK_BACK + 1
"""Recent items that are remembered: an interaction's own item does not count among what led to it."""

Pulling = frozenset[str]
"""The interaction types that speak for an item."""

_touches = msgspec.msgpack.Decoder(Touch)
_packer = msgspec.msgpack.Encoder()


class PackedProfile(msgspec.Struct, array_like=True, gc=False):
    """A Profile on the wire, its touches left as they lie there."""

    touches: list[msgspec.Raw] = []
    position: int = -1
    changes_position: int = -1
    arrived_ms: int = 0
    forgotten_until: int = -1
    opted_out: bool = False
    merged_into: str | None = None


class Draft:
    """One user's profile in work; `pack` gives what is to be written.

    Attributes:
        raw: the encoded profile that it began with or last became; None for a user who is not known.
    """

    __slots__ = ("_added", "_last", "_packed", "_pulling", "_recent", "_touches", "raw")

    def __init__(self, raw: bytes | None, pulling: Pulling) -> None:
        """Begins with an encoded profile.

        Raises:
            MalformedEvent: another format, or damaged.
        """
        self.raw = raw
        self._pulling = pulling
        self._packed = PackedProfile() if raw is None else unpack(raw, PackedProfile)
        touches = self._packed.touches
        self._last = _order(_touches.decode(touches[-1])) if touches else (-1, "")
        self._recent = self._looked_up()
        self._added: set[str] = set()
        self._touches: tuple[Touch, ...] | None = None  # once something had to be unpacked

    @property
    def position(self) -> int:
        """Highest offset of `interactions` that it reflects."""
        return self._packed.position

    @property
    def merged_into(self) -> str | None:
        """The login that took over this guest."""
        return self._packed.merged_into

    def moved_to(self, position: int, arrived_ms: int) -> None:
        """Advances to a record that has been dealt with and lies above its position."""
        self._packed.position = position
        self._packed.arrived_ms = max(arrived_ms, self._packed.arrived_ms)

    def insert(self, touch: Touch, size: int) -> tuple[Insertion, int, list[str]]:
        """Offers an interaction, as `domain.profile.insert` does.

        Returns:
            What became of it; how many interactions there were before; and what `predecessors` says of it.
        """
        if self._touches is not None or not self._is_next(touch):
            return self._insert_unpacked(touch, size)
        history = len(self._packed.touches)
        led = self._recent.copy()
        if touch.item_id in led:
            led.remove(touch.item_id)
        else:
            del led[LOOK_BACK:]
        self._append(touch, size, led)
        return Insertion.NEW, history, led

    def pack(self) -> bytes:
        """Returns the encoded profile; the same bytes as `domain.codecs.pack` of the Profile."""
        self._added.clear()
        self.raw = pack(self._packed if self._touches is None else self._unpacked(self._touches))
        return self.raw

    @property
    def is_packed(self) -> bool:
        """Whether nothing had to be unpacked, so that it may go on with the next batch."""
        return self._touches is None

    def _is_next(self, touch: Touch) -> bool:
        packed = self._packed
        if packed.opted_out or touch.event_time <= packed.forgotten_until or _order(touch) <= self._last:
            return False
        # An id is found with its length before it. What only looks like it, in another field, costs time, no more.
        return touch.event_id not in self._added and (
            self.raw is None or _packer.encode(touch.event_id) not in self.raw
        )

    def _append(self, touch: Touch, size: int, led: list[str]) -> None:
        touches = self._packed.touches
        touches.append(msgspec.Raw(_packer.encode(touch)))
        self._last = _order(touch)
        self._added.add(touch.event_id)
        if touch.type in self._pulling:
            self._recent = [touch.item_id, *led]
        while len(touches) > size:
            dropped = _touches.decode(touches.pop(0))
            if self._recent and dropped.item_id == self._recent[-1]:  # perhaps it was recent by this alone
                self._recent = self._looked_up()

    def _looked_up(self) -> list[str]:
        """The newest KEPT items that users of such a history chose, newest first."""
        found: dict[str, None] = {}
        for raw in reversed(self._packed.touches):
            touch = _touches.decode(raw)
            if touch.type in self._pulling:
                found[touch.item_id] = None
                if len(found) == KEPT:
                    break
        return list(found)

    def _insert_unpacked(self, touch: Touch, size: int) -> tuple[Insertion, int, list[str]]:
        before = self._touches
        if before is None:
            before = tuple(_touches.decode(one) for one in self._packed.touches)
        profile, became = insert(self._unpacked(before), touch, size)
        self._touches = profile.touches
        led = predecessors(before, touch, self._pulling) if became is Insertion.NEW else []
        return became, len(before), led

    def _unpacked(self, touches: tuple[Touch, ...]) -> Profile:
        one = self._packed
        return Profile(
            touches,
            one.position,
            one.changes_position,
            one.arrived_ms,
            one.forgotten_until,
            one.opted_out,
            one.merged_into,
        )


def _order(touch: Touch) -> tuple[int, str]:
    return touch.event_time, touch.event_id

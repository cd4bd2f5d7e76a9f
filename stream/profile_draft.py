"""A profile while batches add to it: it stays packed, and what is simply the next interaction is put at its end.

Nearly every interaction is its user's newest and has not been seen before. Then nothing of the profile has to be
unpacked to insert it, as `domain.profile.insert` would; whatever else it may be is left to that function.
"""

from sys import intern

import msgspec

from domain.codecs import pack, unpack
from domain.profile import Insertion, Profile, Touch, insert
from domain.records import MAX_EPOCH_MS
from learning.signals import LOOK_BACK, predecessors

KEPT = LOOK_BACK + 1
"""Recent items that are remembered: an interaction's own item does not count among what led to it."""

Pulling = frozenset[str]
"""The interaction types that speak for an item."""

Order = tuple[int, str]
"""A touch's place among a user's."""

_AFTER_ANY_ID = chr(0x10FFFF) * 2
"""Later than any id, as that character is not printable."""

_NEW = Insertion.NEW  # looked up once, as what follows: it is needed for each event
_touches = msgspec.msgpack.Decoder(Touch)
_encode = msgspec.msgpack.Encoder().encode
_Raw = msgspec.Raw


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
        position: highest offset of `interactions` that it reflects.
        merged_into: the login that took over this guest.
    """

    __slots__ = (
        "_added",
        "_arrived_ms",
        "_last",
        "_packed",
        "_pulling",
        "_recent",
        "_touches",
        "merged_into",
        "position",
        "raw",
    )

    def __init__(self, raw: bytes | None, pulling: Pulling) -> None:
        """Begins with an encoded profile.

        Raises:
            MalformedEvent: another format, or damaged.
        """
        self.raw = raw
        self._pulling = pulling
        self._packed = packed = PackedProfile() if raw is None else unpack(raw, PackedProfile)
        self.position, self._arrived_ms, self.merged_into = packed.position, packed.arrived_ms, packed.merged_into
        self._last = _last_of(packed)
        self._recent = self._looked_up()
        self._added: set[str] = set()
        self._touches: tuple[Touch, ...] | None = None  # once something had to be unpacked

    def moved_to(self, position: int, arrived_ms: int) -> None:
        """Advances to a record that has been dealt with and lies above its position."""
        self.position = position
        if arrived_ms > self._arrived_ms:  # noqa: PLR1730 - a call takes longer, and this is for each event
            self._arrived_ms = arrived_ms

    def insert(self, touch: Touch, size: int) -> tuple[Insertion, int, tuple[str, ...]]:
        """Offers an interaction, as `domain.profile.insert` does.

        Returns:
            What became of it; how many interactions there were before; and what `predecessors` says of it.
        """
        event_id, item_id, raw = touch.event_id, touch.item_id, self.raw
        order = touch.event_time, event_id
        if order <= self._last or self._touches is not None or event_id in self._added:
            return self._insert_unpacked(touch, size)
        # An id is found with its length before it. What only looks like it, in another field, costs time, no more.
        if raw is not None and _encode(event_id) in raw:
            return self._insert_unpacked(touch, size)
        led = self._recent
        led = tuple([one for one in led if one != item_id]) if item_id in led else led[:LOOK_BACK]
        if touch.type in self._pulling:
            self._recent = (item_id, *led)
        touches = self._packed.touches
        history = len(touches)
        touches.append(_Raw(_encode(touch)))
        self._last = order
        self._added.add(event_id)
        if history >= size:
            self._drop(touches, history + 1 - size)
        return _NEW, history, led

    def pack(self) -> bytes:
        """Returns the encoded profile; the same bytes as `domain.codecs.pack` of the Profile."""
        self._added.clear()
        self._packed.position, self._packed.arrived_ms = self.position, self._arrived_ms
        self.raw = pack(self._packed if self._touches is None else self._unpacked(self._touches))
        return self.raw

    @property
    def is_packed(self) -> bool:
        """Whether nothing had to be unpacked, so that it may go on with the next batch."""
        return self._touches is None

    def _drop(self, touches: list[msgspec.Raw], count: int) -> None:
        """Forgets the oldest."""
        dropped = [_touches.decode(one).item_id for one in touches[:count]]
        del touches[:count]
        if self._recent and self._recent[-1] in dropped:  # perhaps it was recent by this alone
            self._recent = self._looked_up()

    def _looked_up(self) -> tuple[str, ...]:
        """The newest KEPT items that users of such a history chose, newest first."""
        found: dict[str, None] = {}
        for raw in reversed(self._packed.touches):
            touch = _touches.decode(raw)
            if touch.type in self._pulling:
                found[touch.item_id] = None
                if len(found) == KEPT:
                    break
        return tuple(map(intern, found))

    def _insert_unpacked(self, touch: Touch, size: int) -> tuple[Insertion, int, tuple[str, ...]]:
        before = self._touches
        if before is None:
            before = tuple(_touches.decode(one) for one in self._packed.touches)
        profile, became = insert(self._unpacked(before), touch, size)
        self._touches = profile.touches
        led = tuple(predecessors(before, touch, self._pulling)) if became is _NEW else ()
        return became, len(before), led

    def _unpacked(self, touches: tuple[Touch, ...]) -> Profile:
        one = self._packed
        return Profile(
            touches,
            self.position,
            one.changes_position,
            self._arrived_ms,
            one.forgotten_until,
            one.opted_out,
            one.merged_into,
        )


def _last_of(packed: PackedProfile) -> Order:
    """What an interaction must come after to be simply the next one."""
    if packed.opted_out:
        return MAX_EPOCH_MS, _AFTER_ANY_ID
    newest = _touches.decode(packed.touches[-1]) if packed.touches else None
    last = (-1, "") if newest is None else (newest.event_time, newest.event_id)
    return max(last, (packed.forgotten_until, _AFTER_ANY_ID))

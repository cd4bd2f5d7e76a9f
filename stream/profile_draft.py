"""A profile while batches add to it: it stays packed, and what is simply the next interaction is put at its end.

Nearly every interaction is its user's newest and has not been seen before. Then nothing of the profile has to be
unpacked to insert it, as `domain.profile.insert` would; whatever else it may be is left to that function.
"""

from collections.abc import Sequence
from sys import intern

import msgspec
from msgspec.structs import replace

from domain.codecs import pack, unpack
from domain.interactions import Interaction
from domain.profile import Insertion, Profile, Touch, insert, touch_of
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

SEARCHED = 8
"""An encoded profile is searched this many times for an event id; then its ids are looked up once, as that pays."""

_NEW = Insertion.NEW  # looked up once, as what follows: it is needed for each event
_touch = msgspec.msgpack.Decoder(Touch).decode
_touches = msgspec.msgpack.Decoder(tuple[Touch, ...]).decode
_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_encode = msgspec.msgpack.Encoder().encode


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
        arrived_ms: when the newest of its records reached Kafka.
        merged_into: the login that took over this guest.
    """

    __slots__ = (
        "_began",
        "_known",
        "_last_id",
        "_last_ms",
        "_packed",
        "_pulling",
        "_recent",
        "_searches",
        "_sizes",
        "_together",
        "_touches",
        "arrived_ms",
        "merged_into",
        "position",
        "raw",
    )

    def __init__(self, raw: bytes | None, pulling: Pulling) -> None:
        """Begins with an encoded profile.

        Raises:
            MalformedEvent: another format, or damaged.
        """
        self.raw = self._began = raw
        self._pulling = pulling
        self._packed = packed = PackedProfile() if raw is None else unpack(raw, PackedProfile)
        self.position, self.arrived_ms, self.merged_into = packed.position, packed.arrived_ms, packed.merged_into
        touches, packed.touches = packed.touches, []  # held as one from here on
        self._together = bytearray().join(touches)  # one after the other, as they lie in the encoded profile
        self._sizes = list(map(len, touches))
        self._last_ms, self._last_id = _last_of(packed, touches)
        self._recent = self._looked_up(touches)
        self._known: set[str] = set()  # ids of events that are not in what it began with
        self._searches = 0
        self._touches: tuple[Touch, ...] | None = None  # once something had to be unpacked

    def insert(self, one: Interaction, offset: int, size: int) -> tuple[Insertion, int, Sequence[str]]:
        """Offers an interaction, as `domain.profile.insert` does.

        Returns:
            What became of it; how many interactions there were before; and what `predecessors` says of it.
        """
        time: int = one.event_time  # type: ignore[assignment]  # a whole number since it was decoded
        event_id, known, last_ms = one.event_id, self._known, self._last_ms
        if time < last_ms or (time == last_ms and event_id <= self._last_id):
            return self._insert_unpacked(one, offset, size)
        if event_id in known or self._touches is not None or (self._began is not None and self._began_with(event_id)):
            return self._insert_unpacked(one, offset, size)
        item_id, kind, recent, sizes = intern(one.item_id), one.type, self._recent, self._sizes
        led, pulls, history = [*recent], kind in self._pulling, len(sizes)
        if item_id in recent:
            led.remove(item_id)
            if pulls:
                del recent[item_id]  # it becomes the newest
        elif len(led) == KEPT:
            if pulls:
                del recent[led[0]]
            del led[0]
        if pulls:
            recent[item_id] = None
        led.reverse()
        touch = _encode((time, event_id, item_id, kind, one.value, offset))
        self._together += touch
        sizes.append(len(touch))
        self._last_ms, self._last_id = time, event_id
        known.add(event_id)
        if history >= size:
            self._drop(history + 1 - size)
        return _NEW, history, led

    def pack(self) -> bytes:
        """Returns the encoded profile; the same bytes as `domain.codecs.pack` of the Profile."""
        if self._touches is None:
            touches = msgspec.Raw(self._array())  # in place of a list: written, it is one
            whole = replace(self._packed, touches=touches, position=self.position, arrived_ms=self.arrived_ms)
            self.raw = pack(whole)
        else:
            self.raw = pack(self._unpacked(self._touches))
        return self.raw

    @property
    def is_packed(self) -> bool:
        """Whether nothing had to be unpacked, so that it may go on with the next batch."""
        return self._touches is None

    def _array(self) -> bytes:
        """Its touches as MessagePack has an array: how many there are comes first."""
        return _array(len(self._sizes), self._together)

    def _began_with(self, event_id: str) -> bool:
        """Whether an id may be among those that it began with."""
        self._searches += 1
        if self._searches <= SEARCHED:
            # An id is found with its length before it. What only looks like it, in another field, costs time, no more.
            return _encode(event_id) in self._began  # type: ignore[operator]  # it is there, as asked before
        self._known.update([one.event_id for one in _touches(self._array())])
        self._began = None
        return event_id in self._known

    def _drop(self, count: int) -> None:
        """Forgets the oldest."""
        size = sum(self._sizes[:count])
        dropped = _touches(_array(count, self._together[:size]))
        del self._together[:size], self._sizes[:count]
        self._known.difference_update([one.event_id for one in dropped])
        if self._recent and next(iter(self._recent)) in [one.item_id for one in dropped]:  # recent by this alone?
            self._recent = self._looked_up(_split(self._array()))

    def _looked_up(self, touches: Sequence[msgspec.Raw]) -> dict[str, None]:
        """The newest KEPT items that users of such a history chose, oldest first."""
        found: dict[str, None] = {}
        for raw in reversed(touches):
            touch = _touch(raw)
            if touch.type in self._pulling:
                found[intern(touch.item_id)] = None
                if len(found) == KEPT:
                    break
        return dict.fromkeys(reversed(found))

    def _insert_unpacked(self, one: Interaction, offset: int, size: int) -> tuple[Insertion, int, Sequence[str]]:
        before, touch = self._touches, touch_of(one, offset)
        if before is None:
            before = _touches(self._array())
        profile, became = insert(self._unpacked(before), touch, size)
        self._touches = profile.touches
        led = predecessors(before, touch, self._pulling) if became is _NEW else ()
        return became, len(before), led

    def _unpacked(self, touches: tuple[Touch, ...]) -> Profile:
        one = self._packed
        return Profile(
            touches,
            self.position,
            one.changes_position,
            self.arrived_ms,
            one.forgotten_until,
            one.opted_out,
            one.merged_into,
        )


def _array(count: int, together: bytes | bytearray) -> bytes:
    """MessagePack's array of so many values that are encoded already: what comes before them, and they."""
    empty = _encode((None,) * count)  # each of them takes a byte
    return empty[: len(empty) - count] + together


def _last_of(packed: PackedProfile, touches: Sequence[msgspec.Raw]) -> Order:
    """What an interaction must come after to be simply the next one."""
    if packed.opted_out:
        return MAX_EPOCH_MS, _AFTER_ANY_ID
    newest = _touch(touches[-1]) if touches else None
    last = (-1, "") if newest is None else (newest.event_time, newest.event_id)
    return max(last, (packed.forgotten_until, _AFTER_ANY_ID))

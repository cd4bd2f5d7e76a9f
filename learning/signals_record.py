"""How a share of an item's signals is written to `item-signals`.

A replica reads millions of shares at its start and looks at few of them again, so what is always there is one string
of bytes of one length, which many shares' are put one after another and read as columns. The predecessors stay
MessagePack, in which a dictionary is written faster than in anything made of it by Python.
"""

from struct import Struct
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta

from domain.codecs import FORMAT, unpack
from domain.errors import MalformedEvent, OtherVersion
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGES, ItemSignals

SHAPE = 3
"""Comes first in a share. Where another version wrote it with another meaning, none of it may be taken for ours."""

COUNTS = len(POPULARITY_HALF_LIVES_DAYS) + len(STAGES)

NUMBERS = np.dtype([("position", "<i8"), ("first_ms", "<i8"), ("as_of_ms", "<i8"), ("counts", "<f8", COUNTS)])
"""`WrittenShare.numbers`: those of `ItemSignals`, the counts by half life and then by stage. Doubles, as a worker
goes on from what it reads here, and must come to what it would have come to undisturbed."""

_numbers = Struct(f"<3q{COUNTS}d")
_position = Struct("<q")
_encode = msgspec.msgpack.Encoder().encode
BEGINNING = FORMAT + bytes([0x93, SHAPE, 0xC4, NUMBERS.itemsize])
"""Of every share: three values, the first is the shape, the second so many bytes."""

AT_NUMBERS = len(BEGINNING)
AT_PREDECESSORS = AT_NUMBERS + NUMBERS.itemsize
"""Where in an encoded share they lie."""

_OTHER_VERSION = "written by another version of Freshet; rebuild `item-signals` from `interactions`"

Weight = Annotated[int, Meta(ge=0, le=2**53)]


class WrittenShare(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True, gc=False, tag=SHAPE):
    """A share as it is written; see `NUMBERS` and `ItemSignals.before`."""

    numbers: Annotated[bytes, Meta(min_length=NUMBERS.itemsize, max_length=NUMBERS.itemsize)]
    before: dict[str, Weight]

    @property
    def position(self) -> int:
        """See `ItemSignals.position`."""
        position: int = _position.unpack_from(self.numbers)[0]
        return position


def written(signals: ItemSignals) -> WrittenShare:
    """Returns a share as it is to be written."""
    return WrittenShare(_numbers_of(signals), signals.before)


def pack_share(signals: ItemSignals) -> bytes:
    """Encodes a share for its topic: what `pack` makes of `written`, in two thirds of the time for a short one."""
    return BEGINNING + _numbers_of(signals) + _encode(signals.before)


def read_share(raw: bytes) -> WrittenShare:
    """Reads a share no further than it was taken apart for writing.

    Raises:
        OtherVersion: it was written in another shape.
        MalformedEvent: it is damaged.
    """
    try:
        return unpack(raw, WrittenShare)
    except MalformedEvent:
        if _is_of_another_version(raw):
            raise OtherVersion(_OTHER_VERSION) from None
        raise


def _is_of_another_version(raw: bytes) -> bool:
    """Whether it begins as shares of all versions do, a short array and its small number, and yet not as ours."""
    is_share = raw[:1] == FORMAT and len(raw) > 2 and raw[1] >> 4 == 0x9 and raw[2] < 0x80
    return is_share and not raw.startswith(BEGINNING)


def unpack_share(raw: bytes) -> ItemSignals:
    """Decodes a share; raises what `read_share` raises."""
    share = read_share(raw)
    position, first_ms, as_of_ms, *counts = _numbers.unpack(share.numbers)
    split = len(POPULARITY_HALF_LIVES_DAYS)
    return ItemSignals(position, first_ms, as_of_ms, counts[:split], counts[split:], share.before)


def position_of(raw: bytes) -> int:
    """Returns the position of a share and decodes nothing else: what is wrong with its predecessors goes unnoticed.

    Raises:
        MalformedEvent: what begins otherwise than a share does, as `read_share`.
    """
    if len(raw) < AT_PREDECESSORS or not raw.startswith(BEGINNING):
        return read_share(raw).position
    position: int = _position.unpack_from(raw, AT_NUMBERS)[0]
    return position


def _numbers_of(signals: ItemSignals) -> bytes:
    return _numbers.pack(signals.position, signals.first_ms, signals.as_of_ms, *signals.counts, *signals.stages)

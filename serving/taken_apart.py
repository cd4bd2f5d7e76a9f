"""Many encoded shares taken apart at once, as arrays: no object is made of any of their predecessors.

A replica's start has millions of predecessors to read, and a Python string for each, hashed and looked up alone, is
most of what that takes.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.compiled import compiled

Array = NDArray[Any]

PADDING = bytes(512)
"""Lies behind the last share, so that looking past the end of a damaged one finds something."""

MAP16, STR8, UINT8, UINT16, UINT32 = 0xDE, 0xD9, 0xCC, 0xCD, 0xCE
"""MessagePack's longer forms; the shorter ones have their length, or the number, in the same byte."""

_KEY = np.uint64(hash("predecessors") & (2**64 - 1))
"""Another in each process, so that ids that look alike are hard to choose."""

_TIMES, _AGAIN = np.uint64(0x00000100000001B3), np.uint64(0x9E3779B97F4A7C15)


class Predecessors(NamedTuple):
    """Those of all shares; (L,) each.

    Attributes:
        shares, weights: which share has it, and its weight.
        starts, lengths: where its id lies.
        hashes: 64 bits of each id, the same for the same id. That two of a million ids have the same ones happens in
            one of thirty million replicas.
    """

    shares: Array
    weights: Array
    starts: Array
    lengths: Array
    hashes: Array


def predecessors_in(block: Array, starts: Array, ends: Array) -> Predecessors | None:
    """Finds the predecessors of some shares.

    Args:
        block: bytes, PADDING at their end.
        starts: (N,) where the dictionary of predecessors of each share begins.
        ends: (N,) where it ends.

    Returns:
        None if any of it is written otherwise than a worker does: then they are to be decoded one by one.
    """
    most = int((ends - starts).sum()) // 2  # two bytes each at least
    found = Predecessors(
        *(np.empty(most, np.int32), np.empty(most, np.int64), np.empty(most, np.int64)),
        *(np.empty(most, np.int32), np.empty(most, np.uint64)),
    )
    count = _take_apart(block, starts, ends, _KEY, *found)
    return None if count < 0 else Predecessors(*(column[:count] for column in found))


@compiled(
    "int64(uint8[::1], int64[::1], int64[::1], uint64, int32[::1], int64[::1], int64[::1], int32[::1], uint64[::1])"
)
def _take_apart(  # noqa: PLR0911, PLR0912, PLR0913, PLR0917, C901 - one loop over bytes
    block: Any,  # noqa: ANN401
    starts: Any,  # noqa: ANN401
    ends: Any,  # noqa: ANN401
    key: Any,  # noqa: ANN401
    shares: Any,  # noqa: ANN401
    weights: Any,  # noqa: ANN401
    begins: Any,  # noqa: ANN401
    lengths: Any,  # noqa: ANN401
    hashes: Any,  # noqa: ANN401
) -> int:
    """Fills the columns of `Predecessors` and returns how many there are; -1 for what is written otherwise."""
    found = 0
    for share in range(len(starts)):
        at, end = starts[share], ends[share]
        head = np.int64(block[at])
        if head >> 4 == 8:
            left, at = head & 15, at + 1
        elif head == MAP16:
            left, at = (np.int64(block[at + 1]) << 8) + np.int64(block[at + 2]), at + 3
        else:
            return -1
        for _ in range(left):
            if at + 2 > end:
                return -1
            head = np.int64(block[at])
            if head >> 5 == 5:
                length, at = head & 31, at + 1
            elif head == STR8:
                length, at = np.int64(block[at + 1]), at + 2
            else:
                return -1
            mixed = key
            for byte in block[at : at + length]:
                mixed = (mixed ^ np.uint64(byte)) * _TIMES
                mixed ^= mixed >> np.uint64(32)  # or of the key only its lowest bits would matter
            mixed = (mixed ^ (mixed >> np.uint64(32))) * _AGAIN
            begins[found], lengths[found], hashes[found] = at, length, mixed ^ (mixed >> np.uint64(29))
            at += length
            head = np.int64(block[at])
            width = 1 if head == UINT8 else 2 if head == UINT16 else 4 if head == UINT32 else 0
            if width == 0 and head >= 128:
                return -1
            weight = head if width == 0 else np.int64(0)
            for place in range(at + 1, at + 1 + width):
                weight = (weight << 8) + np.int64(block[place])
            at += 1 + width
            if at > end:
                return -1
            shares[found], weights[found] = share, weight
            found += 1
        if at != end:
            return -1
    return found

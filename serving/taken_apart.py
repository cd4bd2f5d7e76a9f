"""Many encoded shares taken apart at once, as arrays: no object is made of any of their predecessors.

A replica's start has millions of predecessors to read, and a Python string for each, hashed and looked up alone, is
most of what that takes. All shares are gone through in step: the first predecessor of each, then the second, and so on.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

PADDING = bytes(512)
"""Lies behind the last share, so that looking past the end of a damaged one finds something."""

STR8, MAP16 = 0xD9, 0xDE
_WIDTHS = np.full(256, -1, np.int64)
_WIDTHS[:0x80] = 0
_WIDTHS[[0xCC, 0xCD, 0xCE]] = 1, 2, 4
"""By MessagePack's first byte of a number: how many follow. -1 for what is no number, or larger than any weight is."""

_KEY = np.uint64(hash("predecessors") & (2**64 - 1)) | np.uint64(1)
"""Another in each process, so that nobody can choose ids that look alike."""

_MASKS = np.array([2 ** (8 * length) - 1 for length in range(9)], np.uint64)


class Predecessors(NamedTuple):
    """Those of all shares: which share has it, where its id lies, how long that is, and its weight; (L,) each."""

    shares: Array
    starts: Array
    lengths: Array
    weights: Array


def predecessors_in(block: Array, starts: Array, ends: Array) -> Predecessors | None:
    """Finds the predecessors of some shares.

    Args:
        block: bytes, PADDING at their end.
        starts: (N,) where the dictionary of predecessors of each share begins.
        ends: (N,) where it ends.

    Returns:
        None if any of it is written otherwise than a worker does: then they are to be decoded one by one.
    """
    head = block[starts]
    wide = head == MAP16
    left = np.where(wide, block[starts + 1].astype(np.int64) << 8 | block[starts + 2], head & 0x0F)
    at, shares = starts + np.where(wide, 3, 1), np.arange(len(starts))
    found: list[Predecessors] = []
    if not (wide | (head >> 4 == 0x08)).all():
        return None
    while True:
        done = left == 0
        if (at[done] != ends[done]).any():
            return None
        shares, at, left, ends = shares[~done], at[~done], left[~done] - 1, ends[~done]
        if not len(shares):
            return _joined(found)
        begin, lengths, code = _key(block, at)
        at = begin + lengths
        weights, width = _number(block, at)
        at = at + 1 + width
        if not code.all() or (width < 0).any() or (at > ends).any():
            return None
        found.append(Predecessors(shares, begin, lengths, weights))


def hashes(block: Array, starts: Array, lengths: Array) -> Array:
    """Returns 64 bits for each id, the same for the same bytes.

    That two of a million ids have the same ones happens in one of thirty million replicas.
    """
    words = np.ndarray(len(block) - 7, "<u8", block, strides=(1,))
    mixed = lengths.astype(np.uint64) * _KEY
    some = np.arange(len(lengths))
    for at in range(0, int(lengths.max(initial=0)), 8):
        left = lengths[some] - at
        mixed[some] = _mixed(mixed[some] ^ (words[starts[some] + at] & _MASKS[np.minimum(left, 8)]))
        some = some[left > 8]
    return mixed


def _mixed(values: Array) -> Array:
    values = values * _KEY
    values ^= values >> np.uint64(32)
    values *= np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(29)
    return values


def _key(block: Array, at: Array) -> tuple[Array, Array, Array]:
    """Returns where the ids at some places begin, how long they are, and whether they are any."""
    head = block[at]
    long = head == STR8
    return at + 1 + long, np.where(long, block[at + 1], head & 0x1F).astype(np.int64), long | (head >> 5 == 0x05)


def _number(block: Array, at: Array) -> tuple[Array, Array]:
    """Returns the numbers at some places, and how many bytes each takes beside the first."""
    head = block[at]
    width = _WIDTHS[head]
    following = np.ndarray(len(block) - 3, ">u4", block, strides=(1,))[at + 1].astype(np.int64)
    return np.where(width > 0, following >> (32 - 8 * width), head), width


def _joined(found: list[Predecessors]) -> Predecessors:
    if not found:
        none = np.zeros(0, np.int64)
        return Predecessors(none, none, none, none)
    return Predecessors(*(np.concatenate(column) for column in zip(*found, strict=True)))

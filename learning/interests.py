"""From a profile to vectors: the user's few interests, as decayed, weighted means of item embeddings."""

from collections.abc import Mapping, Sequence
from math import exp2

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from domain.interactions import InteractionType, weight_of
from domain.profile import Touch
from learning.compiled import compiled

_NO_TYPE = InteractionType(weight=0)

MAX_INTERESTS = 4
"""More would split what belongs together: a few dozen interactions rarely show more separate tastes."""

NEWEST = 100
"""So many touches of either sign are looked at, from the newest: what a request may cost is bounded."""

VANISHED = 1e-6
"""An interest from which dislikes have taken all points nowhere."""

SAME_INTEREST = 0.45
"""Cosine from which an item joins an interest. MiniLM gives unrelated titles about 0.1, same-genre ones 0.4 to 0.6."""


def touch_weights(touches: Sequence[Touch], types: Mapping[str, InteractionType]) -> NDArray[np.float32]:
    """Returns the pull of each interaction now: type weight × 2^(−age / half life); (T,) float32.

    Age counts from the newest touch, so the result is a function of the set alone. A type that is no
    longer configured weighs nothing.
    """
    newest = max([touch.event_time for touch in touches], default=0)
    return np.array([_pull(types.get(touch.type, _NO_TYPE), touch, newest) for touch in touches], np.float32)


def _pull(kind: InteractionType, touch: Touch, newest: int) -> float:
    halvings: float = (newest - touch.event_time) / (kind.half_life_days * DAY_MS)
    return weight_of(kind, touch.value) * exp2(-halvings)


def interests(vectors: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Groups what a user touched into a few interests.

    Args:
        vectors: (T, D) float32, unit rows: the embeddings of the touched items, oldest first; zeros where there is
            none, and then nothing pulls.
        weights: (T,) float32: the pull of each; negative for what was disliked.

    Returns:
        (K, D) float32, unit rows, 0 <= K <= MAX_INTERESTS, the heaviest first. Items join the closest
        interest from the newest to the oldest; what resembles none begins one while there is room. A
        disliked item is subtracted from the interest it is closest to. No touch that pulls: (0, D).
    """
    looked_at, liked = _looked_at(vectors, weights)
    sums, loads = _grouped(vectors, weights, looked_at, liked)
    found: NDArray[np.float32] = _heaviest_first(sums, loads)
    return found


@compiled("(float32[:, ::1], float32[::1])")
def _looked_at(vectors: NDArray[np.float32], weights: NDArray[np.float32]) -> tuple[NDArray[np.int64], int]:
    """Returns the newest touches that pull, from the newest, then those that push; and how many pull."""
    found, count, liked = np.empty(2 * NEWEST, np.int64), 0, 0
    for sign in (1, -1):
        most = count + NEWEST
        for at in range(len(weights) - 1, -1, -1):
            if count < most and sign * weights[at] > 0 and vectors[at].any():
                found[count] = at
                count += 1
        liked = count if sign > 0 else liked
    return found[:count], liked


@compiled("(float32[:, ::1], float32[::1], int64[::1], int64)")
def _grouped(
    vectors: NDArray[np.float32], weights: NDArray[np.float32], looked_at: NDArray[np.int64], liked: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the sum of each group's vectors, and of the weights that joined it.

    The first `liked` of those that are looked at join groups, those after them are taken away.
    """
    sums, loads, count = np.zeros((MAX_INTERESTS, vectors.shape[1]), np.float32), np.zeros(MAX_INTERESTS, np.float32), 0
    squares = np.zeros(MAX_INTERESTS, np.float32)
    for place in range(len(looked_at)):
        at, best, highest = looked_at[place], -1, np.float32(-np.inf)
        for group in range(count):
            product = np.float32(0)
            for dimension in range(vectors.shape[1]):
                product += sums[group, dimension] * vectors[at, dimension]
            cosine = product / np.sqrt(max(squares[group], np.float32(1e-24)))
            if cosine > highest:
                best, highest = group, cosine
        if place < liked:
            if count < MAX_INTERESTS and highest < SAME_INTEREST:
                best = count
                count += 1
            loads[best] += weights[at]
        if place < liked or highest > 0:
            square = np.float32(0)
            for dimension in range(vectors.shape[1]):
                sums[best, dimension] += weights[at] * vectors[at, dimension]
                square += sums[best, dimension] * sums[best, dimension]
            squares[best] = square
    return sums[:count], loads[:count]


@compiled("(float32[:, ::1], float32[::1])")
def _heaviest_first(sums: NDArray[np.float32], loads: NDArray[np.float32]) -> NDArray[np.float32]:
    found, count = np.empty(sums.shape, np.float32), 0
    for group in np.argsort(-loads, kind="mergesort"):
        norm = np.sqrt((sums[group] * sums[group]).sum())
        if norm > VANISHED:
            found[count] = sums[group] / norm
            count += 1
    return found[:count]

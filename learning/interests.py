"""From a profile to vectors: the user's few interests, as decayed, weighted means of item embeddings."""

from collections.abc import Mapping, Sequence

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
    kinds = [types.get(touch.type, _NO_TYPE) for touch in touches]
    times = np.array([touch.event_time for touch in touches], np.float64)
    own = np.array([weight_of(kind, touch.value) for kind, touch in zip(kinds, touches, strict=True)], np.float64)
    half_lives_ms = np.array([kind.half_life_days for kind in kinds]) * DAY_MS
    weights: NDArray[np.float32] = (own * np.exp2((times - times.max(initial=0)) / half_lives_ms)).astype(np.float32)
    return weights


def interests(vectors: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Groups what a user touched into a few interests.

    Args:
        vectors: (T, D) float32, unit rows: the embeddings of the touched items, oldest first.
        weights: (T,) float32: the pull of each; negative for what was disliked.

    Returns:
        (K, D) float32, unit rows, 0 <= K <= MAX_INTERESTS, the heaviest first. Items join the closest
        interest from the newest to the oldest; what resembles none begins one while there is room. A
        disliked item is subtracted from the interest it is closest to. No touch that pulls: (0, D).
    """
    liked, disliked = (np.flatnonzero(side)[::-1][:NEWEST] for side in (weights > 0, weights < 0))
    looked_at = np.concatenate([liked, disliked])
    sums, loads = _grouped(vectors[looked_at], weights[looked_at].astype(np.float32), len(liked))
    sums = sums[np.argsort(-loads, kind="stable")]
    norms = np.sqrt((sums * sums).sum(axis=1))
    kept = norms > VANISHED
    found: NDArray[np.float32] = sums[kept] / norms[kept, None]
    return found


@compiled("(float32[:, ::1], float32[::1], int64)")
def _grouped(
    vectors: NDArray[np.float32], weights: NDArray[np.float32], liked: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Returns the sum of each group's vectors, and of the weights that joined it.

    The first `liked` vectors join groups, those after them are taken away.
    """
    sums, loads, count = np.zeros((MAX_INTERESTS, vectors.shape[1]), np.float32), np.zeros(MAX_INTERESTS, np.float32), 0
    for at in range(len(vectors)):
        best, highest = -1, np.float32(-np.inf)
        for group in range(count):
            product, square = np.float32(0), np.float32(0)
            for dimension in range(vectors.shape[1]):
                product += sums[group, dimension] * vectors[at, dimension]
                square += sums[group, dimension] * sums[group, dimension]
            cosine = product / np.sqrt(max(square, np.float32(1e-24)))
            if cosine > highest:
                best, highest = group, cosine
        if at < liked:
            if count < MAX_INTERESTS and highest < SAME_INTEREST:
                best = count
                count += 1
            loads[best] += weights[at]
        if at < liked or highest > 0:
            for dimension in range(vectors.shape[1]):
                sums[best, dimension] += weights[at] * vectors[at, dimension]
    return sums[:count], loads[:count]

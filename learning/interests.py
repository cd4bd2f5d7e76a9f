"""From a profile to vectors: the user's few interests, as decayed, weighted means of item embeddings."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from domain.interactions import InteractionType, weight_of
from domain.profile import Touch
from learning.signals import halved

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
    newest = max((touch.event_time for touch in touches), default=0)
    weights = np.zeros(len(touches), np.float32)
    for at, touch in enumerate(touches):
        kind = types.get(touch.type)
        if kind is not None:
            weights[at] = weight_of(kind, touch.value) * halved(newest - touch.event_time, kind.half_life_days)
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
    sums = np.zeros((MAX_INTERESTS, vectors.shape[1]), np.float32)
    loads = np.zeros(MAX_INTERESTS)
    norms = np.full(MAX_INTERESTS, 1e-12)
    count = 0
    for at in np.flatnonzero(weights > 0)[::-1][:NEWEST]:
        cosines = (sums[:count] @ vectors[at]) / norms[:count]
        best = int(np.argmax(cosines)) if count else 0
        if count < MAX_INTERESTS and (not count or cosines[best] < SAME_INTEREST):
            best, count = count, count + 1
        sums[best] += vectors[at] * weights[at]
        loads[best] += weights[at]
        norms[best] = np.sqrt(sums[best] @ sums[best])
    for at in np.flatnonzero(weights < 0)[::-1][:NEWEST] if count else ():
        cosines = (sums[:count] @ vectors[at]) / norms[:count]
        best = int(np.argmax(cosines))
        if cosines[best] > 0:
            sums[best] += vectors[at] * weights[at]
            norms[best] = max(float(np.sqrt(sums[best] @ sums[best])), 1e-12)
    heaviest = np.argsort(-loads[:count], kind="stable")
    kept = heaviest[norms[heaviest] > VANISHED]
    found: NDArray[np.float32] = (sums[kept] / norms[kept, None]).astype(np.float32)
    return found

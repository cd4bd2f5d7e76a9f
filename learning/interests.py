"""From a profile to vectors: the user's few interests, as decayed, weighted means of item embeddings."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from domain.interactions import InteractionType, weight_of
from domain.profile import Touch
from learning.signals import halved

MAX_INTERESTS = 4
"""More would split what belongs together: a few dozen interactions rarely show more separate tastes."""

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
    sums: list[NDArray[np.float32]] = []
    loads: list[float] = []
    for at in np.flatnonzero(weights > 0)[::-1]:
        best, closeness = _closest(sums, vectors[at])
        if best < 0 or (closeness < SAME_INTEREST and len(sums) < MAX_INTERESTS):
            sums.append(vectors[at] * weights[at])
            loads.append(float(weights[at]))
        else:
            sums[best] = sums[best] + vectors[at] * weights[at]
            loads[best] += float(weights[at])
    for at in np.flatnonzero(weights < 0):
        best, closeness = _closest(sums, vectors[at])
        if closeness > 0:
            sums[best] = sums[best] + vectors[at] * weights[at]
    order = sorted(range(len(sums)), key=lambda one: -loads[one])
    found = [sums[one] / norm for one in order if (norm := float(np.linalg.norm(sums[one]))) > 1e-6]
    return np.array(found, np.float32).reshape(-1, vectors.shape[1])


def _closest(sums: list[NDArray[np.float32]], vector: NDArray[np.float32]) -> tuple[int, float]:
    best, closeness = -1, -1.0
    for index, total in enumerate(sums):
        cosine = float(total @ vector) / (float(np.linalg.norm(total)) + 1e-12)
        if cosine > closeness:
            best, closeness = index, cosine
    return best, closeness

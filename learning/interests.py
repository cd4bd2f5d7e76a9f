"""From a profile to vectors: the user's few interests, as decayed, weighted means of item embeddings."""

from collections.abc import Mapping, Sequence
from operator import mul

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from domain.interactions import InteractionType, weight_of
from domain.profile import Touch

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
    groups = _Groups(vectors[looked_at], weights[looked_at])
    for at in range(len(liked)):
        groups.join(at)
    for at in range(len(liked), len(looked_at)):
        groups.take_away(at)
    return groups.directions()


class _Groups:
    """Sums of vectors, grown one by one. Works on the inner products of all: Python then handles a few numbers."""

    def __init__(self, vectors: NDArray[np.float32], weights: NDArray[np.float32]) -> None:
        self._vectors = vectors
        self._products = vectors @ vectors.T
        self._own = self._products.diagonal().tolist()
        self._weights = weights.tolist()
        self._members = np.zeros((MAX_INTERESTS, len(vectors)), np.float32)
        self._loads: list[float] = []
        self._squares: list[float] = []
        self._scales: list[float] = []  # one over the length of each sum

    def join(self, at: int) -> None:
        """Puts a vector into the group that it is closest to, or into one of its own while there is room."""
        best, cosine, product = self._closest(at)
        if len(self._loads) < MAX_INTERESTS and cosine < SAME_INTEREST:
            best, product = len(self._loads), 0.0
            self._loads.append(0.0)
            self._squares.append(0.0)
            self._scales.append(0.0)
        self._loads[best] += self._weights[at]
        self._add(best, at, product)

    def take_away(self, at: int) -> None:
        """Takes a vector away from the group that it is closest to, if it is close to any."""
        best, cosine, product = self._closest(at)
        if cosine > 0:
            self._add(best, at, product)

    def directions(self) -> NDArray[np.float32]:
        """Returns the sums as unit rows, the heaviest group first; those that have vanished left out."""
        heaviest = sorted(range(len(self._loads)), key=lambda one: -self._loads[one])
        sums = self._members[heaviest] @ self._vectors
        norms = np.sqrt((sums * sums).sum(axis=1))
        kept = norms > VANISHED
        found: NDArray[np.float32] = sums[kept] / norms[kept, None]
        return found

    def _closest(self, at: int) -> tuple[int, float, float]:
        """Returns a group, its cosine with a vector and its sum's inner product with it; -1, -1, 0 if there is none."""
        products = self._members.dot(self._products[at]).tolist()
        cosines = [*map(mul, products, self._scales)]
        if not cosines:
            return -1, -1.0, 0.0
        best = cosines.index(max(cosines))
        return best, cosines[best], products[best]

    def _add(self, group: int, at: int, product: float) -> None:
        weight = self._weights[at]
        self._squares[group] += weight * (2 * product + weight * self._own[at])
        self._scales[group] = max(self._squares[group], 1e-24) ** -0.5
        self._members[group, at] = weight

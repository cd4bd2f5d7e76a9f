"""The ranker: a linear score over standardised features, learned online from what was chosen.

Each feature of a query's candidates is standardised over those candidates, so a weight says how much one
standard deviation is worth. The score is the log-odds of a softmax over the candidates (a conditional logit,
McFadden 1974); its gradient is exact, the steps are Adagrad's (Duchi et al. 2011). Weights depend on how
long the user's history is and on how long ago its last event was: what carries a newcomer misleads a regular,
and a sitting that goes on is continued. For items that nobody has touched yet they are corrected: text and kind are
all that speaks for these, and what they are worth there is drowned where everything else speaks as well.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.codecs import pack, unpack
from domain.errors import MalformedEvent
from learning.compiled import compiled

Floats = NDArray[np.float64]

HISTORIES = (0, 1, 3, 10, 40, 150)
"""Lower bounds of the history lengths with weights of their own."""

PAUSES_S = (1, 60, 1200, 86_400)
"""Bounds of the time since the user's last event, in seconds, with corrections of their own."""

STEP = 0.05
PAUSE_STEP = 0.025
NEW_STEP = 0.05
"""Adagrad's steps; picked on MovieLens 100k, events 50,000 to 75,000."""

FLOOR = np.float32(0.01)
"""Deviations below this are shrunk."""

LARGEST = np.float32(1e6)
"""A feature beyond this says no more; its square must stay finite."""

CLIP = np.float32(10)
"""A standardised feature beyond so many deviations says no more."""

PRIOR: Mapping[str, float] = {
    "after_sitting_lift": 0.4,
    "after_taste_lift": 0.4,
    "after_sitting": 0.1,
    "after_last": 0.1,
    "before_last": 0.15,
    "before_sitting_lift": 0.2,
    "popularity_days": 0.2,
    "popularity_weeks": 0.2,
    "popularity_stages": 0.2,
    "text_interest": 0.3,
    "newness": 0.1,
    "sequence": 0.6,
}
"""Where learning starts: every source says something, behaviour the most."""

NEW = "untouched"
"""The feature that is above its mean where nobody has touched the item, and only there."""

PRIOR_OF_NEW: Mapping[str, float] = {
    "sequence": 0.0,
    "text_interest": 0.2,
    "text_recent": 0.15,
    "text_history": 0.0,
    "text_expected": 0.9,
    "category_recent": 0.0,
    "category_history": 0.3,
    "era_recent": 0.0,
    "newness": 0.0,
    "popularity_category": 0.0,
    NEW: 0.0,
}
"""What can be known of an item that nobody has touched, and where the corrections for such items start.

Picked on MovieLens 100k, events 60,000 to 68,000, from the choices of items that were kept new. But for the era, .3
there: what was published just now lies apart from all that a user knows, and must be found nevertheless."""

OLDER_ARRAYS = 4
"""So many has a ranker that was saved before there were corrections for new items; these start from their prior."""


class Context(msgspec.Struct, frozen=True):
    """Which weights a query is scored with."""

    history: int
    pause: int


def context_of(history: int, pause_ms: int) -> Context:
    """Returns the context of a user with so many interactions, the last so many milliseconds ago."""
    return Context(bisect_right(HISTORIES, history) - 1, bisect_right(PAUSES_S, pause_ms / 1000))


def standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Returns (C, F) from (F, C): each feature less its mean, over its deviation; 0 where all are equal.

    To the variance FLOOR squared is added: differences below it are rounding, not evidence. What is not finite counts
    as 0.
    """
    columns: NDArray[np.float32] = _standardised(np.ascontiguousarray(features, np.float32))
    return columns


@compiled("(float32[:, ::1],)")
def _standardised(features: NDArray[np.float32]) -> NDArray[np.float32]:
    count = features.shape[1]
    columns, bounded = np.empty((count, len(features)), np.float32), np.empty(count, np.float32)
    for at in range(len(features)):
        total = squares = 0.0
        for place in range(count):
            value = features[at, place]
            bounded[place] = min(max(value, -LARGEST), LARGEST) if abs(value) < np.inf else np.float32(0)
            total += bounded[place]
        mean = np.float32(total / max(count, 1))
        for place in range(count):
            apart = bounded[place] - mean
            squares += apart * apart
        by = np.float32(1 / np.sqrt(squares / max(count, 1) + FLOOR * FLOOR))
        for place in range(count):
            columns[place, at] = min(max((bounded[place] - mean) * by, -CLIP), CLIP)
    return columns


class _Saved(msgspec.Struct, array_like=True):
    """A ranker as it travels on `models`: names, then the arrays flattened."""

    names: list[str]
    learned: int
    arrays: list[list[float]]


class Ranker:
    """Weights by history, (6, F), their corrections by pause, (5, F), and for items nobody has touched, (1, F).

    Attributes:
        names: the features, in the order of the columns.
        learned: how many choices it has learned from.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self.learned = 0
        width = len(self.names)
        prior = np.array([PRIOR.get(name, 0.0) for name in self.names])
        self._weights = np.tile(prior, (len(HISTORIES), 1))
        self._corrections = np.zeros((len(PAUSES_S) + 1, width))
        self._of_new = np.array([[PRIOR_OF_NEW.get(name, 0.0) for name in self.names]])
        self._known_of_new = np.array([name in PRIOR_OF_NEW for name in self.names])
        self._new_at = self.names.index(NEW) if NEW in self.names else None
        self._weight_squares = np.full_like(self._weights, 1e-6)
        self._correction_squares = np.full_like(self._corrections, 1e-6)
        self._of_new_squares = np.full_like(self._of_new, 1e-6)

    def weights(self, context: Context) -> NDArray[np.float32]:
        """Returns the weight of each feature: (F,) float32."""
        total: NDArray[np.float32] = (self._weights[context.history] + self._corrections[context.pause]).astype(
            np.float32
        )
        return total

    def scores(self, candidates: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
        """Returns the score of each of (C, F) standardised candidates: (C,) float32."""
        found: NDArray[np.float32] = candidates @ self.weights(context)
        new = self._new(candidates)
        if len(new):
            found[new] += candidates[new] @ self._of_new[0].astype(np.float32)
        return found

    def weighted(self, candidates: NDArray[np.float32], context: Context) -> NDArray[np.float32]:
        """Returns what each feature adds to the score of each of (C, F) standardised candidates: (C, F) float32."""
        found: NDArray[np.float32] = candidates * self.weights(context)
        new = self._new(candidates)
        if len(new):
            found[new] += candidates[new] * self._of_new[0].astype(np.float32)
        return found

    def learn(self, candidates: NDArray[np.float32], chosen: int, context: Context, weight: float = 1.0) -> None:
        """Takes one step towards ranking the chosen candidate first.

        Args:
            candidates: (C, F) standardised features.
            chosen: which of them was chosen.
            context: the query's.
            weight: how much the choice counts.
        """
        scores, new = self.scores(candidates, context), self._new(candidates)
        chances = np.exp(scores - scores.max())
        chances /= chances.sum()
        chances[chosen] -= 1
        gradient = weight * (chances @ candidates).astype(np.float64)
        if not np.isfinite(gradient).all():
            return
        _step(self._weights[context.history], self._weight_squares[context.history], gradient, STEP)
        _step(self._corrections[context.pause], self._correction_squares[context.pause], gradient, PAUSE_STEP)
        of_new = weight * (chances[new] @ candidates[new]).astype(np.float64) * self._known_of_new
        _step(self._of_new[0], self._of_new_squares[0], of_new, NEW_STEP)
        self.learned += 1

    def _new(self, candidates: NDArray[np.float32]) -> NDArray[np.int64]:
        """Returns the places of the candidates that nobody has touched; none where that is so of all."""
        if self._new_at is None:
            return np.empty(0, np.int64)
        return np.flatnonzero(candidates[:, self._new_at] > 0)

    def to_bytes(self) -> bytes:
        """Returns the artefact, weights and what further learning needs."""
        return pack(_Saved(list(self.names), self.learned, [one.ravel().tolist() for one in self._arrays()]))

    @classmethod
    def from_bytes(cls, raw: bytes, names: Sequence[str]) -> "Ranker":
        """Returns a saved ranker for these features; one that it did not know keeps its prior.

        Raises:
            MalformedEvent: damaged, of another format, or not finite.
        """
        saved = unpack(raw, _Saved)
        ranker = cls(names)
        ranker.learned = saved.learned
        known = [(ranker.names.index(name), at) for at, name in enumerate(saved.names) if name in ranker.names]
        own, theirs = [list(one) for one in zip(*known, strict=True)] if known else ([], [])
        if len(saved.arrays) not in {OLDER_ARRAYS, len(ranker._arrays())}:
            raise MalformedEvent(f"ranker: {len(saved.arrays)} arrays instead of {len(ranker._arrays())}")
        for array, values in zip(ranker._arrays(), saved.arrays, strict=False):
            if len(values) != len(array) * len(saved.names) or not np.isfinite(values).all():
                raise MalformedEvent("ranker: weights are missing or not finite; train it again")
            array[:, own] = np.reshape(values, (len(array), -1))[:, theirs]
        return ranker

    def _arrays(self) -> tuple[Floats, ...]:
        older = self._weights, self._corrections, self._weight_squares, self._correction_squares
        return (*older, self._of_new, self._of_new_squares)


def _step(weights: Floats, squares: Floats, gradient: Floats, step: float) -> None:
    """Takes one of Adagrad's steps, in place."""
    squares += gradient**2
    weights -= step * gradient / np.sqrt(squares)

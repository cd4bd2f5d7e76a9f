"""Peers that count: popularity, and what came after what."""

from collections.abc import Sequence

import numpy as np

from bench.quality_peers.log import Floats, Log, Question
from bench.quality_peers.peer import Incremental


class Popularity(Incremental):
    """How often an item was touched; with a half life in events, the newer the more it counts."""

    def __init__(self, half_life_events: float = float("inf")) -> None:
        self.half_life_events, self.newest = half_life_events, 0

    def fit(self, log: Log) -> None:
        """Counts all; an event weighs 1 at the end of the log."""
        self.newest = len(log)
        super().fit(log)

    def clear(self, items: int) -> None:
        """Forgets everything."""
        self.counts = np.zeros(items)

    def learn(self, question: Question) -> None:
        """Counts; instead of all older counts shrinking, newer ones weigh more."""
        self.counts[question.item] += 2.0 ** ((question.event - self.newest) / self.half_life_events)

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """The counts, for everybody."""
        return np.broadcast_to(self.counts, (len(users), len(self.counts)))


class CoOccurrence(Incremental):
    """What came after the user's last ten items in other histories, near ones more (0.8 for each step)."""

    dense = True
    last, decay = 10, 0.8

    def __init__(self, both_ways: bool = False, popularity_power: float = 0.0) -> None:
        self.both_ways, self.popularity_power = both_ways, popularity_power

    def clear(self, items: int) -> None:
        """Forgets everything."""
        self.after = np.zeros((items, items), np.float32)
        self.counts = np.ones(items, np.float32)

    def learn(self, question: Question) -> None:
        """Counts the item after each of the last ten."""
        recent, weights = self._recent(question.history)
        self.after[recent, question.item] += weights
        self.counts[question.item] += 1

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Sums the counts after the last ten, and with both ways those before them."""
        found = np.zeros((len(users), len(self.counts)), np.float32)
        for row, history in enumerate(histories):
            recent, weights = self._recent(history)
            found[row] = weights @ self.after[recent]
            if self.both_ways:
                found[row] += self.after[:, recent] @ weights
        return found / self.counts**self.popularity_power

    def _recent(self, history: tuple[int, ...]) -> tuple[list[int], Floats]:
        recent = list(history[: -self.last - 1 : -1])
        return recent, (self.decay ** np.arange(len(recent))).astype(np.float32)

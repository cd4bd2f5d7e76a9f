"""What a peer is: it learns from events and scores every item for a user."""

from collections.abc import Sequence

from bench.quality_peers.log import Floats, History, Log, Question, touch

SEED = 42


class Peer:
    """A recommender. `refit` is the number of events between fits (0: fitted once, or learns from each event)."""

    refit = 0
    block = 250  # how many events may be ranked together, none of which the peer has learned from
    dense = False
    spent_before = 0.0  # CPU seconds of an earlier run that this one did not have to spend again
    protocols: tuple[str, ...] = ("prequential", "last-one")

    def fit(self, log: Log) -> None:
        """Learns from all of the log, and forgets what it knew."""

    def learn(self, question: Question) -> None:
        """Learns from one event at once."""

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Scores every item for each of the users, higher is better: shape (users, items)."""
        raise NotImplementedError


class Incremental(Peer):
    """A peer that learns from each event as it comes; its fit is to go through the log."""

    block = 1

    def clear(self, items: int) -> None:
        """Forgets everything."""
        raise NotImplementedError

    def fit(self, log: Log) -> None:
        """Learns from one event after the other."""
        self.clear(log.item_count)
        histories: list[History] = [{} for _ in log.names]
        for event, (user, item) in enumerate(zip(log.users.tolist(), log.items.tolist(), strict=True)):
            self.learn(Question(event, user, item, tuple(histories[user])))
            touch(histories[user], item)

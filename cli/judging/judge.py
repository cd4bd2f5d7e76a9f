"""Ranks, notes and learns, event by event, through the functions that serving and stream run."""

from collections.abc import Container, Iterable, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from cli.judging.cases import OLD, AmongNew, Cases, among_new
from cli.judging.choices import Choices
from cli.judging.hidden import Hidden
from cli.judging.log import EventLog
from cli.judging.refreshing import SequenceRefresh
from cli.judging.world import World
from domain.interactions import Interaction
from domain.profile import touch_of
from learning.ranker import standardised
from learning.signals import pulls
from serving.behaviour import NEVER_TOUCHED_MS
from serving.features import matrix
from serving.pipeline import Slate
from serving.query import Query

LEARN_TOGETHER = 500
"""Events that are only learned from go through as the batches of a busy worker do."""


class Judge:
    """A world, the log it lives through, and what was found.

    Attributes:
        cases: what was judged so far.
        touched: how often each row was touched in the log: grows with the catalogue.
        choices: where a protocol wants them: what the ranker learned from.
        hidden: where a protocol wants them: items whose events are kept from all that learns.
    """

    def __init__(
        self,
        world: World,
        log: EventLog,
        refresh: SequenceRefresh | None,
        choices: Choices | None = None,
        hidden: Hidden | None = None,
    ) -> None:
        self.world = world
        self.log = log
        self.refresh = refresh
        self.cases = Cases()
        self.touched: dict[int, int] = {}
        self.choices = choices
        self.hidden = hidden
        self._users: dict[str, int] = {}

    def replay(self, events: Iterable[int], ranked: Container[int] = ()) -> None:
        """Learns from events; the ranker only from those in `ranked`."""
        batch: list[int] = []
        for at in events:
            if at in ranked:
                self._replay(batch)
                batch = []
                self.step(at, judged=False)
            else:
                batch.append(at)
            if len(batch) == LEARN_TOGETHER:
                self._replay(batch)
                batch = []
        self._replay(batch)

    def _replay(self, batch: Sequence[int]) -> None:
        started = perf_counter()
        self.apply(batch)
        self._took("replay", started)

    def step(self, at: int, judged: bool) -> None:
        """Ranks for the user of an event, lets the ranker learn from their choice, and applies the event."""
        interaction, started = self.log.interaction(at), perf_counter()
        asked = self.ask(interaction)
        if asked is not None:
            query, slate, target = asked
            self._took("rank", started)
            if judged and (self.hidden is None or interaction.item_id in self.hidden.judged):
                self.note(at, query, slate, [target])
            started = perf_counter()
            if self.hidden is None or interaction.item_id not in self.hidden.judged:
                self.choose(query, slate, target)
            self._took("rank learning", started)
        started = perf_counter()
        self.apply([at])
        self._took("apply", started)
        if self.refresh is not None:
            self.refresh.advance(self.world, at + 1)

    def ask(self, interaction: Interaction) -> tuple[Query, Slate, int] | None:
        """Returns the query, the answer and the row of the item; None if the event is no choice of something new."""
        target = self.target(interaction)
        query = self.world.query(interaction.user_id, interaction.time_ms, count=10)
        query.reasons = False
        if target is None or target in query.seen:
            return None
        if self.hidden is not None and not self.hidden.first(interaction):
            return None
        return query, self.world.recommend(query), target

    def target(self, interaction: Interaction) -> int | None:
        """Returns the row of a chosen item; None if it is not in the catalogue or the event is no choice of it."""
        catalogue = self.world.model.catalogue
        row = catalogue.rows.get(interaction.item_id)
        if row is None or not catalogue.live[row] or not pulls(touch_of(interaction, 0), self.world.model.types):
            return None
        return row

    def note(self, at: int, query: Query, slate: Slate, relevant: list[int]) -> None:
        """Writes down where the items were."""
        user = self._users.setdefault(query.user_id, len(self._users))
        popularity = self.touched.get(relevant[0], 0)
        catalogue = self.world.model.catalogue
        unseen = int(catalogue.live.sum()) - len(np.unique(query.seen[query.seen >= 0]))
        ranked = slate.rows[slate.order]
        standing = OLD if popularity else self._among_new(query, ranked, relevant[0])
        self.cases.add(at, user, len(query.touches), popularity, ranked, relevant, unseen, standing)

    def _among_new(self, query: Query, ranked: NDArray[np.int64], row: int) -> AmongNew:
        """Returns how an item stands among those that are new like it: untouched by anybody, or hidden."""
        new = self._new()
        own = ranked[new[ranked]]
        new[query.seen[query.seen >= 0]] = False
        place = np.flatnonzero(own == row)
        return among_new(int(place[0]) if len(place) else -1, len(own), int(new.sum()))

    def _new(self) -> NDArray[np.bool_]:
        model = self.world.model
        size = len(model.catalogue)
        if self.hidden is None:
            found = model.behaviour.first_ms[:size] == NEVER_TOUCHED_MS
        else:
            found = np.array([item_id in self.hidden.judged for item_id in model.catalogue.ids])
        new: NDArray[np.bool_] = found & model.catalogue.live[:size]
        return new

    def choose(self, query: Query, slate: Slate, target: int) -> None:
        """Lets the ranker learn that this item was chosen among the candidates; one that was missed joins them.

        Hidden items that are judged are no wrong answers: that they are chosen is what the ranker is not told.
        """
        rows, candidates = slate.rows, slate.candidates
        if target not in rows:
            rows = np.append(rows, target)
            candidates = standardised(matrix(query, rows))
        if self.hidden is not None:
            ids, judged = self.world.model.catalogue.ids, self.hidden.judged
            told = np.array([ids[row] not in judged for row in rows.tolist()])
            rows, candidates = rows[told], candidates[told]
        chosen = int(np.flatnonzero(rows == target)[0])
        self.world.model.ranker().learn(candidates, chosen, query.context)
        if self.choices is not None:
            self.choices.note(candidates, chosen, query.context)

    def apply(self, batch: Sequence[int]) -> None:
        """Learns from events as stream and serving do; those of hidden items never come."""
        events = [(self.log.raw[at], self.log.interaction(at)) for at in batch]
        if self.hidden is not None:
            events = [(raw, one) for raw, one in events if one.item_id not in self.hidden]
        interactions = [one for _, one in events]
        self.world.learn([raw for raw, _ in events], interactions)
        self.cases.replayed += len(events)
        for one in interactions:
            row = self.world.model.catalogue.rows.get(one.item_id)
            if row is not None:
                self.touched[row] = self.touched.get(row, 0) + 1
        if self.refresh is not None:
            self.refresh.note(self.world, interactions)

    def touches_by_row(self) -> NDArray[np.int64]:
        """(N,) int64: how often each row was touched in the log."""
        counts = np.zeros(len(self.world.model.catalogue), np.int64)
        for row, count in self.touched.items():
            counts[row] = count
        return counts

    def _took(self, what: str, started: float) -> None:
        self.cases.seconds[what] = self.cases.seconds.get(what, 0.0) + perf_counter() - started

"""What the partitions' signals add up to: popularity of each item, and what users touch before and after it."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import numpy as np
from numpy.typing import NDArray

from domain.clock import DAY_MS
from domain.log_reader import Record
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGES, ItemSignals
from learning.signals_record import NUMBERS, unpack_share
from serving.arrivals import Arrived, readable
from serving.catalogue import FIRST_CAPACITY, Catalogue
from serving.columns import Column, Columns, by_row
from serving.heads import KEPT, Head
from serving.known_ids import KnownIds
from serving.later import Later
from serving.links import TURN_S, Changes, LinkTable
from serving.loading import Loading, logs_of
from serving.refused import refused
from serving.share_changes import changes_between
from serving.shares import NO_SHARE, Share, Shares
from serving.trending import Trending

NEVER_TOUCHED_MS = -1

TREND = 1
"""The place in `Behaviour.popularity` of the half life that says what trends: some days."""


class Behaviour:
    """Sums of the shares that the owners of the partitions write.

    Attributes:
        popularity: (H, capacity) float64: log2 of each item's decayed count at one common, arbitrary moment
            (so no clock is needed to compare them), one row a half life; -inf for an item without any.
        stages: (S, capacity) float64: the same among users whose history was of that length.
        learned_to: highest offset whose signals are applied, of each partition of `interactions`.
        first_ms, last_ms: (capacity,) int64: when an item was first and last touched; -1 for never.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._ids = KnownIds(catalogue.rows_of)
        self._shares = Shares(self._ids)
        self._loading: Loading | None = None
        self._changes = 0
        self.learned_to: dict[int, int] = {}
        self._arrived: list[Arrived] = []
        self._due: dict[int, None] = {}  # rows whose counts to add up
        self._later = Later(self._take_in)
        self._trending = Trending(catalogue)
        self._successors = LinkTable(catalogue)
        self._predecessors = LinkTable(catalogue)
        self._heads = [Head() for _ in (*POPULARITY_HALF_LIVES_DAYS, *STAGES)]
        self.popularity = np.full((len(POPULARITY_HALF_LIVES_DAYS), FIRST_CAPACITY), -np.inf)
        self.stages = np.full((len(STAGES), FIRST_CAPACITY), -np.inf)
        self.first_ms = np.full(FIRST_CAPACITY, NEVER_TOUCHED_MS, np.int64)
        self.last_ms = np.full(FIRST_CAPACITY, NEVER_TOUCHED_MS, np.int64)
        self._weights = np.zeros(FIRST_CAPACITY, np.int32)
        catalogue.when_grown.append(self._grow)

    def begin_loading(self) -> None:
        """From now on shares are only put down, until `settle`; no effect where some were added up before."""
        if not self._changes and self._loading is None:
            self._loading = Loading(self._ids, refused)

    def settle(self) -> None:
        """Adds up what was put down since `begin_loading`; until it returns nothing may be put."""
        loading = self._loading
        if loading is None:
            return
        loading.look_up()
        size = len(self._catalogue)
        sums = loading.sums(size, self._catalogue.tie)
        self.popularity[:, sums.rows], self.stages[:, sums.rows] = np.split(sums.logs.T, [len(self.popularity)])
        self.first_ms[sums.rows], self.last_ms[sums.rows] = sums.first_ms, sums.last_ms
        self._heads = [Head.of(one[:size]) for one in (*self.popularity, *self.stages)]
        self._shares = Shares(self._ids, sums.shares)
        self._successors = LinkTable(self._catalogue, sums.successors)
        self._predecessors = LinkTable(self._catalogue, sums.predecessors)
        self.learned_to |= sums.reached
        self._changes += 1
        self._loading = None

    def put_down(self, item_ids: Sequence[str], records: Sequence[Record]) -> bool:
        """Takes the records of some items' shares if they are only put down now; says whether it did.

        What is wrong with one is told of when it is read.
        """
        if self._loading is None or any(one.value is None for one in records):
            return False
        self._loading.put(self._catalogue.rows_of(item_ids), records)
        return True

    def put(self, item_id: str, record: Record) -> None:
        """Takes the record of one partition's share of an item's signals; one without a value takes it away.

        A share older than the one held is left out, and so is what cannot be read: that is counted.
        """
        self.settle()
        self._arrived.append((item_id, record))
        self._later.changed()

    def together(self) -> AbstractContextManager[None]:
        """Lets the shares that are put within be added up at the end, all at once."""
        return self._later.together()

    def successors(self, rows: Sequence[int]) -> tuple[Changes, NDArray[np.int64]]:
        """Returns what users touched after each of some items, in hundredths.

        Changes (C, 2) of the links of one item after the other: what an item's changes to the same row add up to is the
        weight. And how many changes each item has, (len(rows),). Of an item with many links they are the strongest, and
        what was added since those were found.
        """
        return self._successors.of(rows)

    def predecessors(self, rows: Sequence[int]) -> tuple[Changes, NDArray[np.int64]]:
        """Returns what users touched before each of some items, likewise."""
        return self._predecessors.of(rows)

    def settle_links(self, now_s: float, turn_s: float = TURN_S) -> bool:
        """Sums links, for a moment, so that replicas that know the same agree; see `LinkTable.settle`."""
        more = [one.settle(now_s, turn_s) for one in (self._successors, self._predecessors)]
        return any(more)

    def heads(self, stage: int, limit: int) -> list[NDArray[np.int64]]:
        """Returns the most popular rows: at this stage of a history, then by each half life."""
        own = self._heads[len(POPULARITY_HALF_LIVES_DAYS) + stage]
        return [one.top(limit) for one in (own, *self._heads[: len(POPULARITY_HALF_LIVES_DAYS)])]

    def trending(self) -> NDArray[np.int64]:
        """Returns the rows that trend most, as TREND has it, the most popular first; at most heads.KEPT."""
        return self._heads[TREND].top(KEPT)

    def trending_from(self, category: str | None) -> float:
        """Returns the popularity, as TREND has it, from which on an item is among the tenth of its category.

        None: among the tenth of all. For a large category the answer may be some changes old.
        """
        return self._trending.floor(category, self.popularity[TREND], self._changes)

    def counts(self, now_ms: int, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """Returns how often items were touched, as the longest half life remembers it: (C,) float32."""
        logs = self.popularity[-1].take(rows)
        counts: NDArray[np.float32] = np.exp2(logs - now_ms / DAY_MS / POPULARITY_HALF_LIVES_DAYS[-1]).astype(
            np.float32
        )
        return counts

    def shares(self, row: int) -> dict[int, ItemSignals]:
        """The shares of a row by partition; for the state hash."""
        return {partition: unpack_share(raw) for partition, raw in self._shares.encoded(row).items()}

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Gives what a snapshot needs, step by step; nothing may be put in between."""
        size = len(self._catalogue)
        for name in ("first_ms", "last_ms"):
            yield name, getattr(self, name)[:size].copy()
        for name in ("popularity", "stages"):
            for at, values in enumerate(getattr(self, name)):
                yield f"{name}-{at}", values[:size].copy()
        for name in ("shares", "successors", "predecessors"):
            yield name, by_row(getattr(self, f"_{name}").frozen(), size)

    def restore(self, columns: Columns) -> None:
        """Takes what `columns` gave, into an empty one, after the catalogue has taken its own."""
        self._changes += 1
        size = len(self._catalogue)
        for name in ("first_ms", "last_ms"):
            getattr(self, name)[:size] = columns.array(name)
        for values, name in ((self.popularity, "popularity"), (self.stages, "stages")):
            for at, row in enumerate(values):
                row[:size] = columns.array(f"{name}-{at}")
        self._heads = [Head.of(one[:size]) for one in (*self.popularity, *self.stages)]
        self._shares = Shares(self._ids, columns.strings("shares"))
        self._successors = LinkTable(self._catalogue, columns.strings("successors"))
        self._predecessors = LinkTable(self._catalogue, columns.strings("predecessors"))

    def _take_in(self) -> None:
        if self._arrived:
            arrived, self._arrived = self._arrived, []
            read = list(readable(arrived, self._ids))
            rows = self._catalogue.rows_of([item_id for item_id, _, _ in read])
            self._shares.hold({*rows})
            for row, (_, partition, share) in zip(rows, read, strict=True):
                self._put(row, partition, share)
        self._sum_due()

    def _put(self, row: int, partition: int, share: Share | None) -> None:
        held = self._shares.of(row).get(partition)
        if share is not None:
            self.learned_to[partition] = max(share.position, self.learned_to.get(partition, -1))
            if held is not None and share.position < held.position:
                return
        self._changes += 1
        self._shares.put(row, partition, share)
        self._link(row, held or NO_SHARE, share or NO_SHARE)
        self._due[row] = None

    def _sum_due(self) -> None:
        if not self._due:
            return
        due, self._due = self._due, {}
        # By partition, so that every replica adds in one order.
        shares = {row: [share for _, share in sorted(self._shares.of(row).items())] for row in due}
        self._sum_counts({row: some for row, some in shares.items() if some})
        for row, some in shares.items():
            if not some:
                self._forget_counts(row)

    def _sum_counts(self, shares: dict[int, list[Share]]) -> None:
        if not shares:
            return
        rows, every = [*shares], [share for some in shares.values() for share in some]
        starts = np.cumsum([0, *map(len, shares.values())])[:-1]
        told = np.frombuffer(b"".join([share.numbers for share in every]), NUMBERS)
        sums = np.logaddexp2.reduceat(logs_of(told), starts)
        self.first_ms[rows] = np.minimum.reduceat(told["first_ms"], starts)
        self.last_ms[rows] = np.maximum.reduceat(told["as_of_ms"], starts)
        before = np.concatenate([self.popularity[:, rows], self.stages[:, rows]]).T
        self.popularity[:, rows], self.stages[:, rows] = np.split(sums.T, [len(self.popularity)])
        for at, which in np.argwhere((sums > [head.floor for head in self._heads]) | (sums < before)).tolist():
            self._heads[which].put(rows[at], float(sums[at, which]))

    def _forget_counts(self, row: int) -> None:
        self.first_ms[row] = self.last_ms[row] = NEVER_TOUCHED_MS
        self.popularity[:, row] = self.stages[:, row] = -np.inf
        for head in self._heads:
            head.drop(row)
        self._catalogue.changed.add(row)

    def _link(self, row: int, before: Share, share: Share) -> None:
        """Notes by how much the weight of each predecessor of a row has changed."""
        changes = changes_between(before, share, self._weights)
        if not len(changes):
            return
        self._predecessors.add(row, changes)
        earlier = changes[:, 0].tolist()
        changes[:, 0] = row
        self._successors.add_each(earlier, changes)

    def _grow(self, capacity: int) -> None:
        for name in ("popularity", "stages", "first_ms", "last_ms"):
            old = getattr(self, name)
            empty = -np.inf if old.dtype.kind == "f" else NEVER_TOUCHED_MS
            added = np.full((*old.shape[:-1], capacity - old.shape[-1]), empty, old.dtype)
            setattr(self, name, np.concatenate([old, added], axis=-1))
        self._weights = np.zeros(capacity, np.int32)

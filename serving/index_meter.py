"""How the indexes stand, and what their searches find of what an exact search would; measured in the background."""

import asyncio
from collections.abc import Iterator
from itertools import count
from time import monotonic

from embeddings.ann_index import AnnIndex
from serving import metrics
from serving.read_model import ReadModel
from serving.sequence_space import SequenceSpace

LOOK_EVERY_S = 2.0

RECALL_EVERY_S = 60.0
"""How often searches are tried out: one trial looks at every vector, 5 ms a query for 50,000 of 384, in a thread."""

QUERIES, K = 16, 50
"""Searches of one trial, and how many neighbours each asks for."""


class IndexMeter:
    """Looks at the indexes of a read model again and again."""

    def __init__(self, model: ReadModel) -> None:
        self._model = model
        self._rebuilds: dict[str, tuple[AnnIndex, int]] = {}
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begins to look."""
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Stops."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    def look(self) -> None:
        """Says how each index stands."""
        for name, index in self._indexes():
            told = index.state()
            metrics.index_vectors.labels(name).set(told.vectors)
            metrics.index_fresh.labels(name).set(told.fresh)
            metrics.index_dead.labels(name).set(told.dead)
            metrics.index_rebuild_seconds.labels(name).set(told.rebuild_s)
            known, before = self._rebuilds.get(name, (index, 0))
            metrics.index_rebuilds.labels(name).inc(told.rebuilds - (before if known is index else 0))
            self._rebuilds[name] = index, told.rebuilds

    def sample(self, seed: int) -> bool:
        """Tries searches out; False if there is nothing yet that could be found. Blocks: call it in a thread."""
        measured = False
        for name, index in list(self._indexes()):
            recall = index.recall(QUERIES, K, seed)
            if recall is not None:
                metrics.index_recall.labels(name).set(recall)
                measured = True
        return measured

    def _indexes(self) -> Iterator[tuple[str, AnnIndex]]:
        yield "text", self._model.catalogue.index
        space = self._model.models.active("sequence")
        if isinstance(space, SequenceSpace):
            yield "sequence", space.index

    async def _run(self) -> None:
        due_s = 0.0
        for seed in count():
            self.look()
            if monotonic() >= due_s and await asyncio.to_thread(self.sample, seed):
                due_s = monotonic() + RECALL_EVERY_S
            await asyncio.sleep(LOOK_EVERY_S)

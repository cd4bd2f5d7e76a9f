"""The exposure log: what each slate showed goes to `exposures`, off the request path."""

import asyncio
import logging
from collections.abc import Mapping, Sequence

import msgspec

from domain.errors import BrokerUnavailable
from domain.exposures import ExposedItem, Exposure
from serving import metrics
from serving.intake import Intake, Keyed
from serving.pipeline import Slate
from serving.query import Query

log = logging.getLogger(__name__)

BUFFERED = 10_000
"""Exposures kept while Kafka is away, a few megabytes; what comes on top is dropped and counted."""


TOGETHER = 500
"""Exposures on their way at once; one at a time would be bounded by the broker's round trip."""

GATHERED_S = 0.05
"""How long exposures are gathered: sent alone, each takes as long as a quarter of a millisecond of the processor.
Nobody clicks so soon on what was shown, and their records carry the moment of the showing."""


class ExposureLog:
    """Writes exposures in the background, in order. Losing one never costs anybody their slate."""

    def __init__(self, intake: Intake, topic: str) -> None:
        self._intake = intake
        self._topic = topic
        self._queue: asyncio.Queue[Exposure] = asyncio.Queue(BUFFERED)
        self._task: asyncio.Task[None] | None = None

    def note(self, exposure: Exposure) -> None:
        """Queues one exposure."""
        try:
            self._queue.put_nowait(exposure)
        except asyncio.QueueFull:
            metrics.exposures_dropped.inc()

    async def start(self) -> None:
        """Begins to write."""
        self._task = asyncio.create_task(self._write())

    async def stop(self) -> None:
        """Stops; what is queued is given a second."""
        if self._task is not None:
            try:
                await asyncio.wait_for(self._queue.join(), 1.0)
            except TimeoutError:
                metrics.exposures_dropped.inc(self._queue.qsize())
            self._task.cancel()

    async def _write(self) -> None:
        while True:
            waiting = [await self._queue.get()]
            await asyncio.sleep(GATHERED_S)
            while len(waiting) < TOGETHER and not self._queue.empty():
                waiting.append(self._queue.get_nowait())
            lost = await self._lost(waiting)
            if lost:
                metrics.exposures_dropped.inc(lost)
            for _ in waiting:
                self._queue.task_done()

    async def _lost(self, waiting: Sequence[Exposure]) -> int:
        """Sends exposures and returns how many of them were lost."""
        try:
            records = [Keyed(one.user_id, msgspec.json.encode(one), one.shown_at) for one in waiting]
            lost = await self._intake.send_all(self._topic, records)
        except BrokerUnavailable as error:
            log.warning("%d exposures were lost: %s", len(waiting), error)
            return len(waiting)
        except Exception:  # or nobody would write those that come after
            log.exception("%d exposures were lost", len(waiting))
            return len(waiting)
        if lost:
            log.warning("%d exposures were lost: Kafka did not confirm them in time", lost)
        return lost


def exposure_of(recommendation_id: str, query: Query, slate: Slate, context: Mapping[str, str] | None) -> Exposure:
    """Returns the record of a slate. How likely each item was to be shown goes with it."""
    ids = query.model.catalogue.ids
    return Exposure(
        recommendation_id=recommendation_id,
        user_id=query.user_id,
        shown_at=query.now_ms,
        scenario=query.scenario,
        variant=query.model.settings.variant,
        fallback=slate.fallback,
        items=[
            ExposedItem(
                ids[one.row],
                query.offset + at,
                one.score,
                one.source,
                one.propensity,
                one.explored,
                one.under,
            )
            for at, one in enumerate(slate.items)
        ],
        context=dict(context) if context else None,
    )

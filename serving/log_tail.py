"""Reads the ends of the log while somebody looks at them, and only then.

What a replica reads of `interactions` says neither how many there are nor what waits for the workers, and it has no use
for `dead-letters`. The first look opens a reader, each look keeps it, and some seconds after the last one it is closed:
when nobody looks, it costs nothing.
"""

import asyncio
import logging
from contextlib import AsyncExitStack
from time import monotonic

from aiokafka.errors import KafkaError

from domain.clock import Clock
from domain.errors import TopicError
from domain.settings import KafkaSettings
from serving import metrics
from serving.log_ends import Ends, EndsReader

log = logging.getLogger(__name__)

EVERY_S = 1.0
IDLE_S = 5.0
"""How long the reader stays open after a look; a page asks each second, a hidden one not at all."""


class LogTail:
    """The newest of the log for whoever looks; any number of them share one reader."""

    def __init__(self, settings: KafkaSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._ends: Ends | None = None
        self._task: asyncio.Task[None] | None = None
        self._looked_s = 0.0

    def look(self) -> Ends | None:
        """Returns what was read last, and sees to it that there is more soon.

        None if nothing was read yet, or Kafka is away. Needs a running event loop.
        """
        self._looked_s = monotonic()
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._read())
        return self._ends

    async def stop(self) -> None:
        """Closes the reader."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _read(self) -> None:
        metrics.log_tail_open.set(1)
        try:
            async with AsyncExitStack() as stack:
                reader = await EndsReader.open(self._settings, stack)
                while monotonic() - self._looked_s < IDLE_S:
                    self._ends = await reader.read(self._clock())
                    await asyncio.sleep(EVERY_S)
        except (KafkaError, OSError, TimeoutError, TopicError) as error:
            self._ends = None
            log.warning("the ends of the log cannot be read now: %s", error)
            await asyncio.sleep(EVERY_S)  # then the next look tries again
        except Exception:  # a page without its events is no reason to end a replica
            self._ends = None
            log.exception("reading the ends of the log failed")
            await asyncio.sleep(EVERY_S)
        finally:
            self._ends = None
            metrics.log_tail_open.set(0)

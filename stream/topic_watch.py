"""Ends a worker whose topics are deleted under it; nobody else would tell.

To Faust and aiokafka a deleted topic is one in which nothing happens, or a broker that is away for good. One that
was created again is itself, begun anew: what the worker knows then belongs to a log that is gone.
"""

import asyncio
from collections.abc import Mapping

from domain.errors import BrokerUnavailable, TopicError
from domain.garbage import collect_new
from domain.settings import KafkaSettings
from stream.lineage import REMEDY
from stream.outbox import leave
from stream.topic_admin import topic_ids

PERIOD_S = 5.0
"""What is seen twice in a row counts: a broker that has just started may know less than the others."""


async def watch_topics(settings: KafkaSettings) -> None:
    """Looks again and again; ends the process when a topic is missing or another one than at the start."""
    first: dict[str, str] = {}
    before: dict[str, str] = {}
    while True:
        try:
            now = await asyncio.to_thread(topic_ids, settings)
            collect_new()  # each administrator leaves 60 kB of cycles
            first = first or now
            if now == before:
                check(first, now)
            before = now
        except BrokerUnavailable:
            pass  # an outage is the outbox's and the consumer's to wait for
        except TopicError:
            leave("topics were deleted under this worker")
        await asyncio.sleep(PERIOD_S)


def check(first: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Compares the ids of the topics with those at the start.

    Raises:
        TopicError: naming each topic that is missing or was created again, and what to do.
    """
    missing = sorted(first.keys() - now.keys())
    again = sorted(name for name in first.keys() & now.keys() if first[name] != now[name])
    if missing or again:
        told = [f"topic {name} was deleted" for name in missing]
        told += [f"topic {name} was deleted and created again" for name in again]
        raise TopicError(f"{'; '.join(told)}. {REMEDY}")

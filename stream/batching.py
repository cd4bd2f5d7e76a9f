"""Faust, taught to hand an agent whole batches of records. The one module that touches Faust's internals.

Stock Faust spends four asyncio tasks and a dozen loop turns on each Kafka message (about 90 µs), and its
fetches ask the broker to hold an empty answer for 1.5 s. `BatchConsumer` makes one Faust message of all
the records of a partition that one fetch brought, so that cost is paid once a batch, and the batch grows
with the load. What had to change for it, and why it is sound:

* `getmany` yields one message for each partition and fetch; its value is the list of records, its offset
  the last record's.
* `_add_gap` does nothing and `_new_offset` gives the highest acknowledged offset plus one. Stock Faust
  commits runs of consecutive offsets, and batches leave holes by design. Highest-plus-one is right because
  each topic has one agent with concurrency 1, which acknowledges a partition's batches in order.
* `_commit` first waits until everything that the acknowledged batches gave rise to is durable in Kafka
  (`Outbox.flush`). That is the promise "no event is acknowledged before its effects are durable".
* The thread's consumer tells `Membership` of each heartbeat that Kafka answered well, and when Kafka has put
  this worker out; a first one goes out as soon as partitions are assigned, so that no write waits for it.
* aiokafka makes a `LogRecord` of each record instead of its own, which takes two thirds of the time.

Written against faust-streaming 0.15.3 and aiokafka 0.14.0 (pinned); tests/integration/test_batching.py holds it on a
real broker.
"""

import logging
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

import faust
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaError
from faust.exceptions import ConsumerNotStarted
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerMessage

from domain.log_reader import Record, as_log_record
from stream.lag import Lag
from stream.membership import Membership
from stream.outbox import Outbox
from stream.watchdog import Watchdog

log = logging.getLogger(__name__)

MAX_BATCH = 8_000
"""Records in one batch at most: some 100 ms of work, so a rebalance never waits long for one. Each user and item
that a batch touches is written once, so larger ones also write less."""


PartitionRecords._consumer_record = as_log_record  # noqa: SLF001


class RecordsSchema(faust.Schema):  # type: ignore[misc]
    """Passes a batch through untouched: agents decode for themselves, so that one bad record harms no other."""

    def loads_key(self, app: Any, message: Any, **_: Any) -> None:  # noqa: ANN401
        """A batch has no key of its own."""

    def loads_value(self, app: Any, message: Any, **_: Any) -> Sequence[Record]:  # noqa: ANN401
        """Returns the batch."""
        records: Sequence[Record] = message.value
        return records


class BatchConsumerThread(driver.AIOKafkaConsumerThread):  # type: ignore[misc]
    """The thread that talks to Kafka, with our own bound on how long a broker may hold an empty fetch."""

    def _create_worker_consumer(self, transport: Any) -> Any:  # noqa: ANN401
        consumer = super()._create_worker_consumer(transport)
        # Faust hard-codes 1,500 ms; aiokafka reads the attribute when it starts its fetcher.
        consumer._fetch_max_wait_ms = self.app.fetch_max_wait_ms  # noqa: SLF001
        return consumer

    async def on_start(self) -> None:
        """Connects; from then on the heartbeats are watched."""
        await super().on_start()
        _watch(self._consumer._coordinator, self.app.outbox.membership)  # noqa: SLF001

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """Proves the membership before the first batch comes."""
        with suppress(KafkaError):  # the heartbeats that follow will say; the partitions are ours in any case
            await self._consumer._coordinator._do_heartbeat()  # noqa: SLF001
        await super().on_partitions_assigned(assigned, generation_id)


class BatchConsumer(driver.Consumer):  # type: ignore[misc]
    """Faust's consumer, with one message for each partition and fetch."""

    def _new_consumer_thread(self) -> BatchConsumerThread:
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:  # noqa: ASYNC109
        """Yields the next fetch, a batch a partition, unless a rebalance intervenes."""
        fetched, active = await self._wait_next_records(timeout)
        generation = self.app.consumer_generation_id
        if fetched is None or self.should_stop:
            return
        if not self.flow_active:
            await self._seek_back()
            return
        for tp, records in fetched.items():
            wanted = active is None or tp in active or tp in self._buffered_partitions
            for batch in _batches(records) if wanted else ():
                if not self.flow_active or self.app.consumer_generation_id != generation:
                    return
                end = self.highwater(tp)
                self.app.monitor.track_tp_end_offset(tp, end)
                self.app.lag.fetched(batch, end)
                yield tp, self._message(tp, batch)

    async def _seek_back(self) -> None:
        try:
            await self.perform_seek()
        except Exception:  # as stock Faust: the rebalance that stopped the flow seeks again at its end
            log.warning("could not seek to the committed offsets yet", exc_info=True)

    def _message(self, tp: TP, batch: Sequence[Record]) -> ConsumerMessage:
        last = batch[-1]
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            last.offset,
            last.timestamp / 1000,
            0,
            [],
            None,
            batch,
            None,
            0,
            0,
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Holes between batches are no gaps."""

    def _new_offset(self, tp: TP) -> int | None:
        acked = self._acked[tp]
        if not acked:
            return None
        highest: int = max(acked)
        acked.clear()
        self._acked_index[tp].clear()
        return highest + 1

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        await self.app.outbox.flush()
        committed: bool = await super()._commit(offsets)
        return committed


class BatchTransport(driver.Transport):  # type: ignore[misc]
    """Faust's Kafka transport with our consumer."""

    Consumer = BatchConsumer


class BatchApp(faust.App):  # type: ignore[misc]
    """A Faust app whose agents receive `Sequence[Record]`, one partition's at a time.

    Attributes:
        fetch_max_wait_ms: how long a broker may hold an empty fetch.
        outbox: where the agents put what they write; lives as long as the app.
        watchdog: ends the process if it is stuck.
        lag: how far the worker is behind.
    """

    fetch_max_wait_ms: int
    outbox: Outbox
    watchdog: Watchdog

    def __init__(self, *arguments: Any, **options: Any) -> None:  # noqa: ANN401
        super().__init__(*arguments, **options)
        self.lag = Lag()

    async def on_start(self) -> None:
        """Connects the outbox before the first batch can come."""
        await super().on_start()
        await self.outbox.start()
        self.watchdog.start()

    def assigned(self) -> set[tuple[str, int]]:
        """Topic and partition of all that Kafka has given to this worker; may be asked from any thread."""
        try:
            return set(self.consumer.assignment())
        except ConsumerNotStarted:
            return set()

    async def on_stop(self) -> None:
        """Stops consuming, which finishes the batches and commits them; then closes the outbox."""
        await super().on_stop()
        await self.outbox.stop()

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)  # no loop: it is found when the app runs

    def batch_topic(self, name: str) -> Any:  # noqa: ANN401
        """Returns the channel of an existing topic that yields batches."""
        return self.topic(name, schema=RecordsSchema(allow_empty=True))


def _watch(coordinator: Any, membership: Membership) -> None:  # noqa: ANN401 - aiokafka has no types
    beat, reset = coordinator._do_heartbeat, coordinator.reset_generation  # noqa: SLF001

    async def do_heartbeat() -> bool:
        asked_s = time.monotonic()
        is_member: bool = await beat()
        if is_member:
            membership.renew(asked_s)
        return is_member

    def reset_generation() -> None:
        membership.end()
        reset()

    coordinator._do_heartbeat, coordinator.reset_generation = do_heartbeat, reset_generation  # noqa: SLF001


def _batches(records: Sequence[Record]) -> list[list[Record]]:
    remaining = iter(records)
    return list(iter(lambda: list(islice(remaining, MAX_BATCH)), []))

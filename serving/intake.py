"""From HTTP to Kafka: events, items and user changes, each durable before it is called accepted.

Accepted means that all in-sync brokers have confirmed the record and said where it lies. Nothing else is promised:
what was not confirmed in time is refused, though it may still arrive, and comes to nothing twice by its event id.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from domain.errors import BrokerUnavailable
from domain.log_reader import Headers
from domain.positions import Position
from serving import metrics


class Keyed(NamedTuple):
    """A record for Kafka, and the moment it is about."""

    key: str
    value: bytes
    at_ms: int


class Intake:
    """A replica's producer. It connects when first needed, so that a replica starts without its broker.

    What waits for Kafka is bounded in bytes, whether anybody still waits for the answer or not.
    """

    def __init__(self, kafka_options: dict[str, Any], timeout_ms: int, buffer_bytes: int) -> None:
        self._options = kafka_options
        self._timeout_s = timeout_ms / 1000
        self._buffer_bytes = buffer_bytes
        self._waiting = 0
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def send(self, topic: str, key: str, value: bytes | None, headers: Headers = ()) -> Position:
        """Writes one record and returns where it lies once all in-sync brokers have it.

        Raises:
            BrokerUnavailable: not confirmed in time, and it may still arrive; or refused at once, because too
                much waits already. Sending it again with the same event id does no harm.
        """
        size = len(key) + len(value or b"")
        self._reserve(size, topic)
        sent: asyncio.Future[Any] | None = None
        try:
            async with asyncio.timeout(self._timeout_s):
                producer = await self._connected()
                sent = await producer.send(topic, value, key=key.encode(), headers=list(headers))
                sent.add_done_callback(partial(self._release, size))
                written = await asyncio.shield(sent)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(
                f"Kafka did not confirm a record for {topic} within {self._timeout_s:g} s"
                f" ({type(error).__name__}); send it again, the same event id never counts twice"
            ) from error
        finally:
            if sent is None:
                self._release(size)
        return Position(written.partition, written.offset)

    async def send_all(self, topic: str, records: Sequence[Keyed]) -> int:
        """Writes records, in their order, and returns how many of them Kafka has not confirmed in time.

        For records that nobody waits for one by one: together they cost little more than one.

        Raises:
            BrokerUnavailable: refused at once, because too much waits already.
        """
        size = sum(len(one.key) + len(one.value) for one in records)
        self._reserve(size, topic)
        sent: list[asyncio.Future[Any]] = []
        try:
            async with asyncio.timeout(self._timeout_s):
                producer = await self._connected()
                for key, value, at_ms in records:
                    sent.append(await producer.send(topic, value, key=key.encode(), timestamp_ms=at_ms))
                await asyncio.wait(sent)
        except (KafkaError, OSError, TimeoutError):
            pass  # those that are not confirmed by now are counted below
        finally:
            if sent:
                asyncio.gather(*sent, return_exceptions=True).add_done_callback(partial(self._release, size))
            else:
                self._release(size)
        return len(records) - sum(_is_confirmed(one) for one in sent)

    async def stop(self) -> None:
        """Sends what is buffered and disconnects."""
        if self._producer is not None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._producer.stop()
            except TimeoutError:
                pass  # the broker is away; nothing accepted is in the buffer

    def _reserve(self, size: int, topic: str) -> None:
        if self._waiting and self._waiting + size > self._buffer_bytes:
            raise BrokerUnavailable(
                f"{self._waiting:,} bytes wait for Kafka, and no more are taken (FRESHET_INTAKE_BUFFER_BYTES);"
                f" nothing was sent to {topic}, send it again later"
            )
        self._waiting += size
        metrics.intake_waiting.set(self._waiting)

    def _release(self, size: int, _: object = None) -> None:
        self._waiting -= size
        metrics.intake_waiting.set(self._waiting)

    async def _connected(self) -> AIOKafkaProducer:
        async with self._lock:
            if self._producer is None:
                producer = AIOKafkaProducer(**self._options, acks="all", linger_ms=0, max_batch_size=131_072)
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            return self._producer


def _is_confirmed(sent: asyncio.Future[Any]) -> bool:
    return sent.done() and not sent.cancelled() and sent.exception() is None

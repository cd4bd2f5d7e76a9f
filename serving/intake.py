"""From HTTP to Kafka: events, items and user changes, each durable before it is called accepted."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from domain.errors import BrokerUnavailable
from domain.positions import Position


class Intake:
    """A replica's producer. It connects when first needed, so that a replica starts without its broker."""

    def __init__(self, kafka_options: dict[str, Any], timeout_ms: int) -> None:
        self._options = kafka_options
        self._timeout_s = timeout_ms / 1000
        self._producer: AIOKafkaProducer | None = None
        self._lock = asyncio.Lock()

    async def send(self, topic: str, key: str, value: bytes | None) -> Position:
        """Writes one record and returns where it lies once all in-sync brokers have it.

        Raises:
            BrokerUnavailable: not confirmed in time. It may still arrive; sending it again with the same
                event id does no harm.
        """
        try:
            async with asyncio.timeout(self._timeout_s):
                producer = await self._connected()
                sent = await producer.send(topic, value, key=key.encode())
                written = await asyncio.shield(sent)
        except (KafkaError, OSError, TimeoutError) as error:
            raise BrokerUnavailable(
                f"Kafka did not confirm a record for {topic} within {self._timeout_s:g} s"
                f" ({type(error).__name__}); send it again, the same event id never counts twice"
            ) from error
        return Position(written.partition, written.offset)

    async def stop(self) -> None:
        """Sends what is buffered and disconnects."""
        if self._producer is not None:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._producer.stop()
            except TimeoutError:
                pass  # the broker is away; nothing accepted is in the buffer

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

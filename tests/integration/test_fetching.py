"""Which topics a replica that keeps up fetches while much is written, on a real broker."""

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from domain.log_reader import read_to_end, reader_options
from domain.settings import KafkaSettings
from domain.topics import ITEM_SIGNALS, USER_PROFILES
from serving.consumers import assign_all
from serving.fetching import Fetching

Send = Callable[[str, bytes], Awaitable[None]]
Test = Callable[[Fetching, Send], Awaitable[None]]
LONG_S, SHORT_S, PATIENCE_S = 60, 0.5, 20


def run(settings: KafkaSettings, every_s: float, test: Test, sent_before: int = 0, **options: int) -> None:
    async def running() -> None:
        own = AIOKafkaConsumer(**reader_options(settings) | options)
        async with AIOKafkaProducer(**settings.kafka_options()) as producer, own as consumer:
            partitions = await assign_all(consumer, settings)

            async def send(topic: str, value: bytes) -> None:
                await producer.send_and_wait(settings.topic(topic), value, b"key", 1)

            await read_to_end(consumer, partitions, lambda _: None)
            for at in range(sent_before):
                await send(ITEM_SIGNALS, b"%d" % at)
            async with asyncio.timeout(PATIENCE_S):
                await test(Fetching(consumer, settings.topic(USER_PROFILES), every_s), send)

    asyncio.run(running())


async def values(fetching: Fetching) -> list[bytes | None]:
    """The next ones that come."""
    while not (found := [one.value for records in (await fetching.next(1)).values() for one in records]):
        pass
    return found


def test_while_signals_come_often_profiles_are_fetched_by_themselves(settings: KafkaSettings):
    async def test(fetching: Fetching, send: Send) -> None:
        for value in (b"one", b"two"):
            await send(ITEM_SIGNALS, value)
            assert await values(fetching) == [value]  # nobody waits for the first ones
        await send(ITEM_SIGNALS, b"three")
        for value in (b"four", b"five"):
            await send(USER_PROFILES, value)
            assert await values(fetching) == [value]

    run(settings, LONG_S, test)


def test_what_was_not_fetched_meanwhile_comes_afterwards(settings: KafkaSettings):
    async def test(fetching: Fetching, send: Send) -> None:
        found: list[bytes | None] = []
        sent = [b"%d" % at for at in range(50)]
        for value in sent:
            await send(ITEM_SIGNALS, value)
            found += [one.value for records in (await fetching.next(0.01)).values() for one in records]
        while len(found) < len(sent):
            found += await values(fetching)
        assert found == sent

    run(settings, SHORT_S, test)


def test_who_is_behind_goes_on_fetching_everything(settings: KafkaSettings):
    async def test(fetching: Fetching, send: Send) -> None:
        found: list[bytes | None] = []
        while len(found) < 5:
            some = await values(fetching)
            assert len(some) < 5  # they come in several fetches
            found += some
        assert found == [b"%d" % at for at in range(5)]

    run(settings, LONG_S, test, sent_before=5, max_partition_fetch_bytes=1)

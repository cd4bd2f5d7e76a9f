"""Reading a log on a real broker: whole, in order, and without keeping everything else waiting."""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, TopicPartition

from domain.log_reader import PIECE, LogRecord, Record, read_to_end
from domain.settings import KafkaSettings
from domain.topics import ITEMS
from serving.consumers import new_consumer

COUNT = 3 * PIECE + 1


async def filled(settings: KafkaSettings, place: TopicPartition) -> None:
    async with AIOKafkaProducer(**settings.kafka_options(), linger_ms=20, max_batch_size=262_144) as producer:
        sent = [
            await producer.send(place.topic, b"%d" % at, b"key", place.partition, headers=[("at", b"%d" % at)])
            for at in range(COUNT)
        ]
        await asyncio.gather(*sent)


def test_a_long_log_comes_in_order_and_in_pieces_between_which_others_have_their_turns(settings: KafkaSettings):
    place = TopicPartition(settings.topic(ITEMS), 1)
    pieces: list[Sequence[Record]] = []
    turns = [0]

    def take(records: Sequence[Record]) -> None:
        pieces.append(records)
        turns.append(0)

    async def others() -> None:
        while True:
            turns[-1] += 1
            await asyncio.sleep(0)

    async def run() -> None:
        await filled(settings, place)
        async with new_consumer(settings) as consumer:
            consumer.assign([place])
            watching = asyncio.create_task(others())
            await read_to_end(consumer, [place], take)
            watching.cancel()

    asyncio.run(run())
    records = [one for piece in pieces for one in piece]
    assert [one.value for one in records] == [b"%d" % at for at in range(COUNT)]
    assert [one.offset for one in records] == [*range(COUNT)]
    assert all(len(piece) <= PIECE for piece in pieces)
    assert all(turns[:-1])  # before each piece


def test_a_record_that_is_read_is_what_was_sent(settings: KafkaSettings):
    place = TopicPartition(settings.topic(ITEMS), 1)
    found: list[Record] = []

    async def run() -> None:
        async with AIOKafkaProducer(**settings.kafka_options()) as producer:
            for value in (b"new", None):
                await producer.send_and_wait(
                    place.topic, value, b"key", place.partition, timestamp_ms=1_700_000_000_000, headers=[("a", b"b")]
                )
        async with new_consumer(settings) as consumer:
            consumer.assign([place])
            await read_to_end(consumer, [place], found.extend)

    asyncio.run(run())
    same = (place.topic, place.partition)
    assert found == [
        LogRecord(*same, at, 1_700_000_000_000, b"key", value, (("a", b"b"),))
        for at, value in enumerate((b"new", None))
    ]

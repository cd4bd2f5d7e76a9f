"""The ends of the log as a page shows them: the newest, how many, what waits; read only while somebody looks."""

import asyncio
from contextlib import AsyncExitStack

import pytest
from kafka import KafkaProducer

from domain.clock import system_clock
from domain.settings import KafkaSettings, load_settings
from domain.topics import DEAD_LETTERS, INTERACTIONS, MARK_HEADER
from freshet import Emitter
from serving import log_tail
from serving.log_ends import NEWEST, Ends, EndsReader
from serving.log_tail import LogTail
from tests.integration.test_system import clicks


def emit(settings: KafkaSettings, seed: int, count: int) -> None:
    with Emitter(settings) as emitter:
        for one in clicks(seed, count, 1_700_000_000_000):
            emitter.emit(one)


async def read(settings: KafkaSettings, between: list[int]) -> list[Ends]:
    """Reads once, and again after each further lot of events was sent."""
    async with AsyncExitStack() as stack:
        reader = await EndsReader.open(settings, stack)
        found = [await reader.read(1)]
        while found[0].waiting is None:  # a new broker has no coordinator of groups before somebody asks for one
            found = [await reader.read(1)]
        for seed, count in enumerate(between, start=2):
            await asyncio.to_thread(emit, settings, seed, count)
            found.append(await reader.read(seed))
        return found


def test_the_newest_records_and_their_number_are_read_however_many_came(settings: KafkaSettings):
    emit(settings, 1, 400)
    first, second, third = asyncio.run(read(settings, [1, 2_000]))
    assert [one.counts[INTERACTIONS] for one in (first, second, third)] == [400, 401, 2_401]
    assert b'"s2-0"' in second.newest[INTERACTIONS][0].value
    for one in (first, second, third):
        kept = one.newest[INTERACTIONS]
        assert len(kept) == NEWEST and len({(record.partition, record.offset) for record in kept}) == NEWEST
        assert [record.timestamp for record in kept] == sorted((record.timestamp for record in kept), reverse=True)
    assert first.waiting == 400 and third.waiting == 2_401  # no worker has committed anything


def test_a_mark_of_a_replay_is_no_letter(settings: KafkaSettings):
    producer = KafkaProducer(**settings.kafka_options())
    topic = settings.topic(DEAD_LETTERS)
    producer.send(topic, b"{", key=b"a", headers=[("reason", b"malformed")]).get(10)
    producer.send(topic, b"", partition=0, headers=[(MARK_HEADER, b"{}")]).get(10)
    producer.close()
    (found,) = asyncio.run(read(settings, []))
    assert [record.value for record in found.newest[DEAD_LETTERS]] == [b"{"]


def test_nothing_is_read_before_a_look_nor_long_after_the_last(
    settings: KafkaSettings, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(log_tail, "IDLE_S", 0.5)
    emit(settings, 1, 3)

    async def looked() -> None:
        tail = LogTail(settings, system_clock)
        assert tail._task is None
        while (found := tail.look()) is None:
            await asyncio.sleep(0.05)
        assert found.counts[INTERACTIONS] == 3
        await tail._task
        assert tail.look() is None  # what was read then is not shown as if it were now
        await tail.stop()

    asyncio.run(looked())


def test_a_broker_that_is_away_costs_the_page_its_events_and_nothing_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(log_tail, "EVERY_S", 0.01)
    nowhere = load_settings(KafkaSettings, bootstrap_servers="127.0.0.1:9")

    async def looked() -> None:
        tail = LogTail(nowhere, system_clock)
        for _ in range(3):
            assert tail.look() is None
            await tail._task

    asyncio.run(looked())

"""The intake while Kafka is away: bounded, and empty again once nobody can be told yes any more."""

import asyncio

import pytest

from cli.broker import free_port
from domain.errors import BrokerUnavailable
from serving.intake import Intake, Keyed

NOBODY = {"bootstrap_servers": [f"127.0.0.1:{free_port()}"]}


async def sent(intake: Intake, size: int = 60) -> str:
    with pytest.raises(BrokerUnavailable) as refused:
        await intake.send("interactions", "u", b"x" * (size - 1))
    return str(refused.value)


def test_what_does_not_fit_is_refused_at_once_and_room_comes_back():
    async def told() -> tuple[list[str], list[str]]:
        intake = Intake(NOBODY, 300, buffer_bytes=100)
        first = await asyncio.gather(*[sent(intake) for _ in range(3)])
        return first, await asyncio.gather(*[sent(intake) for _ in range(3)])

    for answers in asyncio.run(told()):
        assert "did not confirm" in answers[0]
        assert all("60 bytes wait" in one and "no more are taken" in one for one in answers[1:])


def test_a_record_larger_than_the_buffer_is_let_through_alone():
    assert "did not confirm" in asyncio.run(sent(Intake(NOBODY, 300, buffer_bytes=100), size=5000))


def test_those_sent_together_are_counted_as_lost_together_and_leave_room_again():
    async def told() -> list[int]:
        intake = Intake(NOBODY, 300, buffer_bytes=100)
        records = [Keyed("u", b"x" * 19, 1)] * 3
        lost = [await intake.send_all("exposures", records) for _ in range(2)]
        first = asyncio.create_task(intake.send_all("exposures", records))
        await asyncio.sleep(0)
        with pytest.raises(BrokerUnavailable, match="60 bytes wait"):
            await intake.send_all("exposures", records)
        return [*lost, await first]

    assert asyncio.run(told()) == [3, 3, 3]

"""Exposures are written one after the other, whatever became of those before."""

import asyncio
from collections.abc import Sequence

import pytest

from domain.errors import BrokerUnavailable
from domain.exposures import Exposure
from serving.intake import Intake, Keyed
from serving.side_effects.exposures import ExposureLog
from tests.builders import START_MS

NOBODY = {"bootstrap_servers": "127.0.0.1:1"}


class Failing(Intake):
    """Nobody's intake, which fails at first in a way of its own."""

    def __init__(self, error: Exception) -> None:
        super().__init__(NOBODY, 300, buffer_bytes=100)
        self.errors, self.sent = [error], []

    async def send_all(self, topic: str, records: Sequence[Keyed]) -> int:
        if self.errors:
            raise self.errors.pop()
        self.sent += records
        return 0


def shown(number: int) -> Exposure:
    return Exposure(
        recommendation_id=f"r{number}",
        user_id="ann",
        shown_at=START_MS,
        scenario="",
        variant="default",
        fallback=None,
        items=[],
    )


@pytest.mark.parametrize("error", [BrokerUnavailable("away"), RuntimeError("never seen before")])
def test_those_after_a_failure_are_written(error):
    async def written() -> int:
        intake = Failing(error)
        log = ExposureLog(intake, "exposures")
        await log.start()
        for number in range(2):
            log.note(shown(number))
            await asyncio.sleep(0.2)
        await log.stop()
        return len(intake.sent)

    assert asyncio.run(written()) == 1

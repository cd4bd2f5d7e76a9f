"""A lease that runs out between the outbox's question and the socket, on a real broker."""

import asyncio
import time

from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS
from stream.membership import Membership
from stream.outbox import Effects, Outbox, Write
from tests.integration.test_emitter import read_topic


class Lapsing(Membership):
    """Loses its lease as soon as it has been asked for it; the second time it keeps it."""

    asked = 0

    async def assured(self) -> None:
        self.renew(time.monotonic())
        await super().assured()
        self.asked += 1
        if self.asked == 1:
            self.renew(time.monotonic() - 60)


def test_what_was_asked_for_in_time_and_comes_to_the_socket_too_late_is_not_sent(settings: KafkaSettings, caplog):
    membership = Lapsing(session_s=30)
    topic = settings.topic(DEAD_LETTERS)

    async def scenario() -> None:
        outbox = Outbox(settings.kafka_options(), membership)
        await outbox.start()
        await outbox.put(
            Effects([Write(topic, b"a", b"1", 0), Write(topic, b"b", b"2", 1)], [Write(topic, b"a", b"3", 0)])
        )
        await asyncio.wait_for(outbox.flush(), 30)
        await outbox.stop()

    asyncio.run(scenario())
    assert membership.asked == 3, "for the first step twice, for the second once"
    assert "the lease on the partitions ran out" in caplog.text
    assert sorted(one.value for one in read_topic(settings, DEAD_LETTERS)) == [b"1", b"2", b"3"]

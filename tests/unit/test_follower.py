"""A replica that applies signals answers in between."""

import asyncio

from aiokafka import TopicPartition

from domain.settings import ServingSettings, load_settings
from domain.topics import ITEM_SIGNALS
from serving.backlog import Backlog
from serving.follower import Follower
from serving.progress import Progress
from serving.snapshot.place import Origin
from tests.unit.test_loading import ITEMS, new_model, shares


def test_a_request_that_came_during_a_turn_of_signals_computes_before_the_next():
    records, backlog, left = shares(4_000), Backlog(), []
    settings = load_settings(ServingSettings)
    places = [TopicPartition(settings.topic(ITEM_SIGNALS), one.partition) for one in records]
    follower, progress = Follower(settings, new_model()), Progress(Origin("", {}), places, 0)

    async def request() -> None:
        for _ in range(2):  # as from the socket to its turn
            await asyncio.sleep(0)
        left.append(len(backlog))

    async def scenario() -> None:
        asked = asyncio.create_task(request())
        for _ in range(2):
            await follower._turn(backlog, progress)
            left.append(len(backlog))
        await asked

    for at, record in enumerate(records):  # of keys of their own, so that all of them wait
        backlog.take(
            [type(record)(record.topic, record.partition, at, 0, f"i{at % (100 * ITEMS)}".encode(), record.value)]
        )
    asyncio.run(scenario())
    assert left[0] == left[1] > left[2]

"""What a replica counts of clicks that it has read before a worker wrote what they led to."""

import asyncio
import socket

import pytest
from prometheus_client import REGISTRY

from domain.interactions import Interaction
from domain.items import Item
from embeddings.transformer import TransformerEncoder
from serving.requests import RecommendRequest, answer
from tests.builders import START_MS, Deployment, interaction, log_of

pytestmark = pytest.mark.anyio
FILMS = [Item(item_id=f"i{n}", title=f"a film about {n} robbers", published_at=1) for n in range(12)]


class Shop(Deployment):
    """A replica with some films, which reads ahead."""

    def __init__(self, encoder: TransformerEncoder, variant: str) -> None:
        super().__init__(encoder, variant=variant)
        self.put_items(*FILMS)
        self.replica.model.live = True

    def click(self, item: str, second: int) -> Interaction:
        self.now_ms = START_MS + second * 1000
        return interaction("u", item, second)

    def look_ahead(self, one: Interaction) -> None:
        self.replica.model.apply_ahead(log_of([one], start=self.offset))

    async def slate(self) -> list[str]:
        return [one.item_id for one in (await answer(self.replica, RecommendRequest(user_id="u", count=5))).items]


@pytest.fixture
def shop(encoder: TransformerEncoder, request: pytest.FixtureRequest) -> Shop:
    return Shop(encoder, request.node.name[:60])


def counts() -> list[float]:
    names = ("freshet_freshness_seconds_count", "freshet_profile_delay_seconds_count")
    return [REGISTRY.get_sample_value(name) or 0.0 for name in names]


async def test_a_click_counts_once_for_freshness_whichever_way_it_came_first(shop: Shop):
    fresh, written = counts()
    one = shop.click("i1", 1)
    shop.look_ahead(one)
    assert counts() == [fresh + 1, written]
    shop.learn(one)
    assert counts() == [fresh + 1, written + 1]
    other = shop.click("i2", 2)
    shop.learn(other)
    assert counts() == [fresh + 2, written + 2]
    shop.offset -= 1
    shop.look_ahead(other)
    assert counts() == [fresh + 2, written + 2]


async def test_a_choice_that_was_read_ahead_counts_once_for_the_slate_that_held_it(shop: Shop):
    shown = await shop.slate()
    chosen = shop.click(shown[0], 86_460)
    shop.look_ahead(chosen)
    assert shown[0] not in await shop.slate()
    shop.learn(chosen)
    labels = {"variant": shop.settings.variant, "scenario": "none"}
    assert REGISTRY.get_sample_value("freshet_items_chosen_total", labels) == 1


async def test_a_click_that_lies_on_a_socket_is_in_the_slate_that_is_asked_for_then(shop: Shop):
    ours, theirs = socket.socketpair()
    reader, writer = await asyncio.open_connection(sock=ours)
    arrived: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def receive() -> None:  # as a Kafka client does: one task reads the socket, another waits for its answers
        arrived.set_result(await reader.readexactly(8))

    async def follow() -> None:
        await arrived
        shop.look_ahead(one)

    before = await shop.slate()
    one = shop.click(before[0], 1)
    tasks = [asyncio.create_task(receive()), asyncio.create_task(follow())]
    await asyncio.sleep(0.01)  # both wait
    theirs.sendall(b"a record")
    assert before[0] not in await shop.slate()
    await asyncio.gather(*tasks)
    writer.close()
    theirs.close()

"""A running replica under many more requests at once than it can do."""

import asyncio
import json
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest

from cli.broker import EmbeddedBroker
from domain.items import Item
from domain.topics import INTERACTIONS
from tests.integration.test_emitter import read_topic
from tests.system import System, system_at

ITEMS = [Item(item_id=f"i{n}", title=f"Item {n} about lakes", published_at=1) for n in range(300)]
SLATES, EVENTS, ROUNDS = 300, 50, 4


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    with EmbeddedBroker() as broker, system_at(broker.bootstrap_servers, tmp_path) as running:
        yield running


def test_overload_is_shed_and_health_is_answered_and_what_was_accepted_is_kept(system: System):
    replica = system.start_replica(search=False, max_queued=16)
    system.send_items(ITEMS)
    system.until(lambda: system.holds()["items"] == len(ITEMS))
    slates, accepted, health = asyncio.run(flooded(system.url))

    assert slates.keys() == {200, 503} and sum(slates.values()) == SLATES * ROUNDS
    assert health == {200: 10 * ROUNDS}
    stored = {msgspec.json.decode(one.value)["event_id"] for one in read_topic(system.settings, INTERACTIONS)}
    assert accepted and accepted <= stored
    assert replica.status() is None
    assert httpx.get(f"{system.url}/v1/users/a/recommendations").status_code == 200


async def flooded(url: str) -> tuple[Counter[int], set[str], Counter[int]]:
    """Asks all at once, some times over; returns the slates' statuses, the events accepted, the health's statuses."""
    slates, health = Counter[int](), Counter[int]()
    accepted: set[str] = set()

    async def post(event_id: str) -> None:
        click = {"event_id": event_id, "type": "click", "user_id": event_id, "item_id": "i1", "event_time": 1}
        if await asked(url, "POST", "/v1/events", json.dumps(click)) == 200:
            accepted.add(event_id)

    async def get(path: str, statuses: Counter[int]) -> None:
        statuses[await asked(url, "GET", path)] += 1

    for at in range(ROUNDS):
        clients = [
            *[get("/v1/users/a/recommendations?count=50", slates) for _ in range(SLATES)],
            *[post(f"e-{at}-{number}") for number in range(EVENTS)],
            *[get("/health/live", health) for _ in range(10)],
        ]
        random.Random(at).shuffle(clients)
        await asyncio.gather(*clients)
    return slates, accepted, health


async def asked(url: str, method: str, path: str, body: str = "") -> int:
    """One request on a connection of its own; a refusal must say when to come again."""
    place = urlsplit(url)
    reader, writer = await asyncio.open_connection(place.hostname, place.port)
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    writer.write((head + body).encode())
    answer = (await reader.read()).decode()
    writer.close()
    status = int(answer.split(" ", 2)[1])
    assert (status == 503) == ("\r\nretry-after: 1\r\n" in answer.lower())
    return status

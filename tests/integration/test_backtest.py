"""The backtest is the running system without Kafka and HTTP: for the same log it serves the same slates."""

from itertools import pairwise

import msgspec
import pytest

from cli.judging.world import World
from domain.clock import system_clock
from domain.codecs import unpack
from domain.settings import ServingSettings
from domain.topics import ITEM_EMBEDDINGS
from embeddings.item_embedding import ItemEmbedding
from embeddings.transformer import TransformerEncoder
from freshet import Client
from tests.integration.test_emitter import read_topic
from tests.integration.test_system import CATALOGUE, USERS, clicks

EVERYTHING = len(CATALOGUE)
"""A slate of all items: none is in or out by a rounding of the last place."""
ROUNDING = 1e-4
"""The two ask some milliseconds apart, so decayed counts differ in their last bits, and equal items may swap."""


def test_the_backtest_ranks_as_the_running_system_serves(system):
    system.start_worker()
    system.start_replica()
    system.send_items(CATALOGUE)
    system.embedded(len(CATALOGUE))
    events = clicks(seed=4, count=240, start_ms=system_clock() - 600_000)
    system.learned(system.send(events))

    encoder = TransformerEncoder()
    world = World(ServingSettings(), encoder.dimension)
    vectors = encoder.encode([item.text() for item in CATALOGUE])
    world.put_items(CATALOGUE, vectors, encoder.version, events[0].time_ms)
    # The worker had the texts in other batches, by which bfloat16 differs in its last bits.
    for record in read_topic(system.settings, ITEM_EMBEDDINGS):
        world.model.catalogue.put_embedding(record.key.decode(), unpack(record.value, ItemEmbedding))
    world.learn([msgspec.json.encode(one) for one in events], events)

    with Client(system.url, timeout_s=30) as client:
        for user in (*USERS, "a-stranger"):
            served = client.recommend(user, count=EVERYTHING).items
            replayed = world.recommend(world.query(user, system_clock(), count=EVERYTHING)).items
            expected = {world.model.catalogue.ids[one.row]: one for one in replayed}
            assert {one.item_id for one in served} == set(expected)
            for one in served:
                assert one.score == pytest.approx(expected[one.item_id].score, abs=ROUNDING)
                assert one.reasons == expected[one.item_id].reasons
            in_served_order = [expected[one.item_id].score for one in served]
            assert all(high >= low - ROUNDING for high, low in pairwise(in_served_order))

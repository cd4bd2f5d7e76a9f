"""New items beside a look at the whole catalogue, while items come, go, are touched and grow old."""

import numpy as np
import pytest

from domain.clock import DAY_MS
from domain.items import Item
from domain.log_reader import LogRecord
from embeddings.faiss_index import FaissIndex
from embeddings.item_embedding import from_vector
from learning.signals import ItemSignals
from learning.signals_record import pack_share
from serving.behaviour import NEVER_TOUCHED_MS, Behaviour
from serving.catalogue import Catalogue
from serving.new_items import NewItems

FRESH_DAYS = 7


def looked_through(catalogue: Catalogue, behaviour: Behaviour, now_ms: int) -> list[int]:
    size = len(catalogue)
    published = catalogue.published_ms[:size]
    new = (published >= now_ms - FRESH_DAYS * DAY_MS) | (behaviour.first_ms[:size] == NEVER_TOUCHED_MS)
    return np.flatnonzero(catalogue.live[:size] & new & (published <= now_ms)).tolist()


@pytest.mark.parametrize("seed", range(8))
def test_new_items_are_those_that_a_look_at_the_whole_catalogue_finds(seed):
    chance = np.random.default_rng(seed)
    catalogue = Catalogue(FaissIndex(4), None)
    behaviour = Behaviour(catalogue)
    new_items, now = NewItems(catalogue, behaviour, FRESH_DAYS), 1000 * DAY_MS
    for step in range(300):
        item_id = f"i{chance.integers(60)}"
        what = chance.integers(6)
        if what == 0:
            catalogue.put_item(item_id, None, int(now))
        elif what < 3:
            published = int(now + chance.integers(-30, 5) * DAY_MS)
            catalogue.put_item(item_id, Item(item_id=item_id, title=item_id, published_at=published), int(now))
        elif what == 3:
            share = pack_share(ItemSignals(step, int(now), int(now), [1.0] * 5, [1.0] * 10, {}))
            behaviour.put(item_id, LogRecord("item-signals", 0, step, 0, None, share))
        elif what == 4:
            behaviour.put(item_id, LogRecord("item-signals", 0, step, 0, None, None))
        else:
            vector = chance.standard_normal(4).astype(np.float32)
            catalogue.put_embedding(item_id, from_vector("v", item_id, vector))
        now += int(chance.integers(-2, 6)) * DAY_MS // 4
        limit = int(chance.integers(1, 40))
        latest = new_items.latest(int(now), limit)
        assert latest.tolist() == looked_through(catalogue, behaviour, now)[-limit:]
        usual = catalogue.vectors[latest].sum(axis=0) / max(1, len(latest))
        assert np.allclose(new_items.usual_text(latest), usual, atol=0.01)

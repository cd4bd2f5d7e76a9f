"""The index meter says how the indexes stand and what their searches find."""

import numpy as np
import pytest
from prometheus_client import REGISTRY

from domain.items import Item
from embeddings.transformer import TransformerEncoder
from tests.builders import Deployment

FILMS = [Item(item_id=f"i{n}", title=f"a film about {n} robbers", published_at=1) for n in range(120)]


def figure(name: str) -> float | None:
    return REGISTRY.get_sample_value(f"freshet_index_{name}", {"index": "text"})


@pytest.fixture
def deployment(encoder: TransformerEncoder) -> Deployment:
    return Deployment(encoder, exact_index_below=50)


def test_an_empty_index_has_no_recall_yet(deployment):
    meter = deployment.replica.index_meter
    assert not meter.sample(0)
    meter.look()
    assert figure("vectors") == 0


def test_vectors_the_buffer_rebuilds_and_recall_are_told(deployment):
    meter = deployment.replica.index_meter
    deployment.put_items(*FILMS[:100])
    index = deployment.replica.model.catalogue.index
    index.rebuild_now()
    before = figure("rebuilds_total") or 0
    deployment.put_items(*FILMS[100:])
    deployment.replica.model.catalogue.index.remove(np.array([0]))
    meter.look()
    meter.look()
    assert [figure(one) for one in ("vectors", "fresh_vectors", "dead_vectors")] == [119, 20, 1]
    assert figure("rebuilds_total") == before + 1 and figure("rebuild_seconds") > 0
    assert meter.sample(1) and figure("recall_at_50") > 0.9


def test_an_index_that_takes_the_place_of_another_counts_its_own_rebuilds(deployment):
    meter = deployment.replica.index_meter
    deployment.put_items(*FILMS[:60])
    deployment.replica.model.catalogue.index.rebuild_now()
    meter.look()
    before = figure("rebuilds_total")
    deployment.replica.model.clear()
    meter.look()
    deployment.put_items(*FILMS[:60])
    deployment.replica.model.catalogue.index.rebuild_now()
    meter.look()
    assert figure("rebuilds_total") == before + 1

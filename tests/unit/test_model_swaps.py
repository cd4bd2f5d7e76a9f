"""The models of a replica: swapped while it serves, and kept when the next one is no good."""

import threading
import time
from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY

from domain.errors import MalformedEvent
from domain.log_reader import LogRecord
from domain.settings import ServingSettings
from embeddings.exact_index import ExactIndex
from serving.models import Models
from serving.read_model import ReadModel
from tests.unit.test_models import Records, Trainer


def loader(raw: bytes) -> int:
    """A model is the first byte of its artefact; 2 is a version that this replica cannot read."""
    if raw[0] == 2:
        raise ValueError("format 2 is not known")
    return raw[0]


def put(models: Models, records: Records, live: bool = False) -> None:
    for key, raw in records:
        models.put(key, raw, live)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def refused(name: str = "sequence") -> float:
    return REGISTRY.get_sample_value("freshet_model_refused_total", {"name": name}) or 0.0


def shown(version: str) -> float | None:
    return REGISTRY.get_sample_value("freshet_model_info", {"name": "sequence", "version": version})


def test_there_is_no_model_before_the_first_and_then_the_pointers() -> None:
    trainer, models = Trainer(), Models({"sequence": loader})
    assert models.active("sequence") is None and models.loaded("sequence") is None
    put(models, trainer.publish(9))
    assert models.active("sequence") == 1
    loaded = models.loaded("sequence")
    assert loaded is not None and loaded.manifest == trainer.manifests[0] and shown(trainer.version(0)) == 1


def test_without_a_loader_a_model_is_passed_over() -> None:
    models = Models()
    put(models, Trainer().publish(9))
    assert models.active("sequence") is None and models.faults() == {}


def test_a_version_that_cannot_be_loaded_leaves_the_old_one_and_is_counted_until_it_is_taken_back(caplog) -> None:
    trainer, models = Trainer(), Models({"sequence": loader})
    put(models, trainer.publish(9))
    before = refused()
    put(models, trainer.publish(9))
    assert models.active("sequence") == 1 and refused() == before + 1
    assert models.faults() == {"sequence": f"{trainer.version(1)}: ValueError: format 2 is not known"}
    assert f"{trainer.version(1)}: ValueError" in caplog.text
    assert shown(trainer.version(0)) == 1 and shown(trainer.version(1)) is None
    put(models, trainer.point(0))
    assert models.active("sequence") == 1 and models.faults() == {}


def test_a_damaged_artefact_leaves_the_old_one_and_never_reaches_the_loader() -> None:
    trainer, seen = Trainer(), []
    models = Models({"sequence": lambda raw: seen.append(raw) or len(seen)})
    put(models, trainer.publish(9))
    before = refused()
    (key, _), *others = trainer.publish(9)
    put(models, [(key, b"damaged!!"), *others])
    assert models.active("sequence") == 1 and len(seen) == 1
    assert refused() == before + 1 and "sha256" in models.faults()["sequence"]
    put(models, trainer.point(1))
    assert models.active("sequence") == 2 and models.faults() == {}


def test_promoting_again_loads_again_only_what_could_not_be_loaded() -> None:
    trainer, attempts = Trainer(), []

    def second_time(raw: bytes) -> int:
        attempts.append(raw)
        if len(attempts) == 1:
            raise MemoryError
        return 7

    models = Models({"sequence": second_time})
    put(models, trainer.publish(9))
    assert models.active("sequence") is None
    put(models, trainer.point(0))
    put(models, trainer.point(0))
    assert models.active("sequence") == 7 and len(attempts) == 2


def test_a_live_replica_answers_with_the_old_model_while_the_new_one_loads() -> None:
    trainer, go = Trainer(), threading.Event()

    def slow(raw: bytes) -> int:
        assert raw[0] == 1 or go.wait(10)
        return raw[0]

    models = Models({"sequence": slow})
    put(models, trainer.publish(9))
    put(models, trainer.publish(9), live=True)
    put(models, trainer.publish(9), live=True)
    assert models.active("sequence") == 1
    go.set()
    until(lambda: models.active("sequence") == 3)
    assert shown(trainer.version(2)) == 1 and shown(trainer.version(0)) is None


def test_of_two_swaps_at_once_the_later_stays_however_long_the_earlier_takes() -> None:
    trainer, go, taken = Trainer(), threading.Event(), []

    def slow(raw: bytes) -> int:
        taken.append(raw[0])
        assert go.wait(10)
        return raw[0]

    models = Models({"sequence": slow})
    for _ in range(3):
        put(models, trainer.publish(9), live=True)
    until(lambda: taken == [1])
    go.set()
    until(lambda: models.active("sequence") is not None)
    assert models.active("sequence") == 3 and taken == [1, 3], "the second was not loaded for nothing"


def test_the_read_model_feeds_the_models_and_counts_what_is_no_models() -> None:
    model = ReadModel(ServingSettings(topic_prefix="p-"), ExactIndex(4), loaders={"sequence": loader})
    records = [LogRecord("p-models", 0, 0, 0, key.encode(), raw) for key, raw in Trainer().publish(9)]
    before = REGISTRY.get_sample_value("freshet_followed_records_refused_total", {"topic": "p-models"}) or 0.0
    model.apply([LogRecord("p-models", 0, 0, 0, b"bandit/v1", b"?"), *records])
    assert model.models.active("sequence") == 1
    assert REGISTRY.get_sample_value("freshet_followed_records_refused_total", {"topic": "p-models"}) == before + 1
    with pytest.raises(MalformedEvent):
        model.models.put("bandit", b"", live=False)

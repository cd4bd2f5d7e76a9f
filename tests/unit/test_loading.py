"""Signals that are put down at a replica's start and added up at its end are those that were added up one by one."""

from collections.abc import Sequence

import numpy as np
import pytest

import serving.loading as loading
from domain.codecs import pack
from domain.log_reader import LogRecord
from domain.settings import ServingSettings, load_settings
from domain.topics import ITEM_SIGNALS
from embeddings.faiss_index import FaissIndex
from embeddings.item_embedding import from_vector
from learning.signals import POPULARITY_HALF_LIVES_DAYS, STAGES, ItemSignals
from learning.signals_record import BEGINNING, pack_share
from serving.link_sums import linked
from serving.links import MOST, LinkTable, changes_of, summed
from serving.read_model import ReadModel
from serving.state_hash import state_hashes

DAY_MS, ITEMS = 86_400_000, 40
PARTITIONS = (0, 1, 2, 17, 127, 128, 3000)


def shares(count: int, seed: int = 1, partitions: Sequence[int] = PARTITIONS) -> list[LogRecord]:
    """Records of a log that is not compacted: shares replace each other, now and then an older one comes late."""
    chance = np.random.default_rng(seed)
    return [one_share(chance, int(chance.choice(partitions)), at) for at in range(count)]


def one_share(chance: np.random.Generator, partition: int, at: int) -> LogRecord:
    before = {f"i{chance.integers(ITEMS)}": int(chance.integers(1, 300)) for _ in range(chance.integers(0, 9))}
    counts = [float(one) for one in chance.random(len(POPULARITY_HALF_LIVES_DAYS)) * 5]
    stages = (chance.random(len(STAGES)) * chance.integers(0, 2, len(STAGES))).tolist()  # no ties among heads
    first = int(chance.integers(0, 50)) * DAY_MS
    share = ItemSignals(at + int(chance.integers(-30, 30)), first, first + 5 * DAY_MS, counts, stages, before)
    return LogRecord("item-signals", partition, at, 0, f"i{chance.integers(ITEMS)}".encode(), pack_share(share))


def new_model() -> ReadModel:
    return ReadModel(load_settings(ServingSettings), FaissIndex(8))


def added_one_by_one(records: Sequence[LogRecord]) -> ReadModel:
    model = new_model()
    for record in records:
        model.apply([record])
    return model


def loaded(records: Sequence[LogRecord]) -> ReadModel:
    model = new_model()
    model.behaviour.begin_loading()
    model.apply(records)
    model.behaviour.settle()
    return model


def told(model: ReadModel) -> dict[str, object]:
    """What a model's behaviour says, by the items' ids: their rows are given out in another order."""
    ids, behaviour, found, tie = model.catalogue.ids, model.behaviour, {}, model.catalogue.tie
    for item_id, row in model.catalogue.rows.items():
        links = [of([row])[0] for of in (behaviour.successors, behaviour.predecessors)]
        found[item_id] = (
            [{ids[to]: by for to, by in changes_of(summed(one.tobytes(), tie)).tolist()} for one in links],
            behaviour.popularity[:, row].round(9).tolist(),
            behaviour.stages[:, row].round(9).tolist(),
            (int(behaviour.first_ms[row]), int(behaviour.last_ms[row])),
        )
    heads = {at: {ids[row] for row in one} for at, one in enumerate(behaviour.heads(3, 10))}
    return found | {"heads": heads, "learned_to": model.learned_to}


def same(one: ReadModel, other: ReadModel) -> bool:
    return told(one) == told(other) and state_hashes(one) == state_hashes(other)


@pytest.mark.parametrize(("look_every", "waiting"), [(7, 20), (500_000, 4_000), (50, 1)])
def test_what_is_loaded_is_what_is_added_one_by_one(monkeypatch, look_every, waiting):
    monkeypatch.setattr(loading, "LOOK_EVERY", look_every)
    monkeypatch.setattr(loading, "WAITING", waiting)
    records = shares(600)
    assert same(loaded(records), added_one_by_one(records))


def test_more_partitions_than_a_short_map_holds_are_put_together():
    records = shares(900, partitions=range(20))
    assert same(loaded(records), added_one_by_one(records))


def test_what_comes_after_loading_adds_to_it():
    records, more = shares(300), shares(200, seed=2)
    one, other = loaded(records), added_one_by_one(records)
    one.apply(more)
    other.apply(more)
    assert same(one, other)


def test_a_deletion_among_the_records_counts():
    records = shares(300)
    records[200:200] = [LogRecord("item-signals", 1, 0, 0, f"i{number}".encode(), None) for number in range(ITEMS)]
    assert same(loaded(records), added_one_by_one(records))


def test_weights_beyond_all_measure_go_as_they_came():
    counts, stages = [1.0] * len(POPULARITY_HALF_LIVES_DAYS), [1.0] * len(STAGES)
    share = pack_share(ItemSignals(1, 0, 0, counts, stages, {"a": 2**40}))
    model = loaded([LogRecord("item-signals", one, 0, 0, b"b", share) for one in range(3)])
    model.apply([LogRecord("item-signals", one, 1, 0, b"b", None) for one in range(3)])
    assert not any(told(model)["b"][0])


def test_nothing_that_was_put_down_is_nothing():
    assert same(loaded([]), new_model())
    model = loaded(shares(0))
    model.apply(shares(50))
    assert same(model, added_one_by_one(shares(50)))


def test_a_model_that_holds_signals_goes_on_adding():
    model = added_one_by_one(shares(50))
    model.behaviour.begin_loading()
    model.apply(shares(60, seed=3))
    assert same(model, added_one_by_one([*shares(50), *shares(60, seed=3)]))


def test_vectors_of_one_batch_count_in_their_order_and_one_of_another_width_is_passed_over():
    def embedding(key: str, width: int, axis: int | None) -> LogRecord:
        vector = None if axis is None else np.eye(width, dtype=np.float32)[axis]
        value = None if axis is None else pack(from_vector("v", f"{axis}", vector))
        return LogRecord("item-embeddings", 0, 0, 0, key.encode(), value)

    model = new_model()
    model.apply([embedding("a", 8, 0), embedding("b", 8, 1), embedding("c", 9, 2), embedding("a", 8, 3)])
    model.apply([embedding("b", 8, None), embedding("d", 8, 4), embedding("d", 8, None), embedding("e", 8, 5)])
    rows, vectors = model.catalogue.rows, model.catalogue.vectors
    assert {one: vectors[row].nonzero()[0].tolist() for one, row in rows.items()} == {
        "a": [3],
        "b": [],
        "d": [],
        "e": [5],
    }
    assert len(model.catalogue.index) == 2


def test_a_record_that_cannot_be_read_is_passed_over_while_loading():
    model = new_model()
    model.behaviour.begin_loading()
    model.apply([LogRecord("item-signals", 0, 0, 0, b"i1", b"nonsense"), *shares(20)])
    model.behaviour.settle()
    assert same(model, added_one_by_one(shares(20)))
    assert model.settings.topic(ITEM_SIGNALS) == "item-signals"


@pytest.mark.parametrize(
    "before",
    [
        {},
        {"ä" * 128: 7, "日本" * 20: 1, "x" * 31: 2, "y" * 32: 3},
        {"\U0001f40e" * 128: 5, "z": 1},  # 512 bytes
        {"a": 0, "b": 127, "c": 128, "d": 255, "e": 256, "f": 65_535, "g": 65_536, "h": 2**27, "i": 2**32 - 1},
        {"a": 2**32, "b": 2**53},
        {f"i{number}": number for number in range(450)},
    ],
)
def test_whatever_ids_and_weights_a_worker_writes_are_read_at_the_start(before):
    counts, stages = [1.0] * len(POPULARITY_HALF_LIVES_DAYS), [1.0] * len(STAGES)
    odd = [LogRecord("item-signals", 1, 99, 0, b"i2", pack_share(ItemSignals(99, 0, 0, counts, stages, before)))]
    assert same(loaded([*shares(30), *odd, *shares(30, seed=2)]), added_one_by_one([*shares(30), *odd, *shares(30, 2)]))


DAMAGED = pack_share(ItemSignals(9, before={"i1": 1, "i3": 300}))


@pytest.mark.parametrize(
    "raw",
    [
        *[DAMAGED[:length] for length in range(len(DAMAGED))],
        DAMAGED + b"\x00",
        DAMAGED.replace(BEGINNING, BEGINNING[:2] + b"\x02" + BEGINNING[3:]),  # of another version
        DAMAGED[:-3] + b"\xff\x01\x2c",  # a negative weight
        DAMAGED.replace(b"\xa2i3", b"\xa2\xff3"),  # an id that is no text
        DAMAGED.replace(b"\xa2i3", b"\x92i3"),
        DAMAGED.replace(b"\x82\xa2i1", b"\x83\xa2i1"),
        DAMAGED.replace(b"\x82\xa2i1", b"\x81\xa2i1"),
        DAMAGED.replace(b"\x82\xa2i1", b"\x92\xa2i1"),
    ],
)
def test_a_damaged_share_among_others_is_passed_over_at_the_start_as_later(raw, caplog):
    records = [*shares(10), LogRecord("item-signals", 1, 77, 0, b"i2", raw), *shares(10, seed=2)]
    one = loaded(records)
    assert caplog.text.count("item-signals/1@77") == 1
    assert same(one, added_one_by_one(records)) and same(one, loaded([*shares(10), *shares(10, seed=2)]))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("others", [0, 60])
def test_what_is_applied_together_adds_up_as_one_by_one(seed, others, caplog):
    chance, records, together = np.random.default_rng(seed), shares(400, seed), new_model()
    for at in range(others):  # deletions, and what cannot be read or is written otherwise than most
        value = (None, DAMAGED[:-1], pack_share(ItemSignals(at, before={"\U0001f40e" * 128: 5})))[at % 3]
        key = f"i{chance.integers(ITEMS)}".encode()
        records.insert(
            int(chance.integers(len(records))),
            LogRecord("item-signals", int(chance.choice(PARTITIONS)), 0, 0, key, value),
        )
    for start in range(0, len(records), size := int(chance.integers(1, 200))):
        together.apply(records[start : start + size])
    assert caplog.text.count("item-signals/") == others // 3
    assert same(together, added_one_by_one(records))


def test_of_many_links_that_were_loaded_a_request_is_given_the_same_as_of_those_added_one_by_one():
    chance, size = np.random.default_rng(4), 3 * MOST
    catalogue = new_model().catalogue
    catalogue.rows_of([f"i{number}" for number in range(size)])
    counts = [2 * MOST, 0, MOST, MOST + 1, 5]
    source = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    target = np.concatenate([chance.permutation(size)[:count] for count in counts]).astype(np.int32)
    weights = chance.integers(1, 9, len(source)).astype(np.int32)
    order = chance.permutation(len(source))
    loaded_ones = LinkTable(catalogue, linked(source[order], target[order], weights[order], size, catalogue.tie))
    added = LinkTable(catalogue)
    for row in range(len(counts)):
        own = source == row
        added.add(row, np.stack([target[own], weights[own]], axis=1))
    rows = [4, 3, 2, 1, 0]
    (changes, numbers), (others, other_numbers) = loaded_ones.of(rows), added.of(rows)
    assert numbers.tolist() == other_numbers.tolist() == [5, 300, MOST, 0, 300]
    for one, other in zip(np.split(changes, np.cumsum(numbers)), np.split(others, np.cumsum(numbers)), strict=True):
        assert sorted(one.tolist()) == sorted(other.tolist())

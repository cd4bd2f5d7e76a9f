"""What a replica takes many at once at its start is what it would hold had it applied each record alone."""

import random
from collections.abc import Sequence
from itertools import groupby

import msgspec
import numpy as np
import pytest

import serving.many as many
from domain.codecs import pack
from domain.items import Item
from domain.log_reader import LogRecord
from domain.profile import Profile, Touch
from domain.settings import ServingSettings, load_settings
from domain.topics import ITEM_EMBEDDINGS, ITEMS, USER_PROFILES
from embeddings.faiss_index import FaissIndex
from embeddings.item_embedding import ItemEmbedding, from_vector, text_hash, to_vector, to_vectors
from serving.read_model import ReadModel
from serving.state_hash import state_hashes
from tests.unit.test_loading import shares, told

D, NOW = 8, 1_795_326_060_000
ODD_EVERY = 9


def one_item(chance: random.Random, key: str) -> bytes | None:
    """An item, and now and then a deletion, one that is damaged, another's, or in far too many categories."""
    if not chance.randrange(ODD_EVERY):
        other = msgspec.json.encode(Item(item_id="another"))
        return chance.choice([None, b"{", b'{"item_id": ""}', other, msgspec.json.encode(Item(item_id=key))[:-1]])
    labels = [f"c{chance.randrange(30)}" for _ in range(chance.randrange(12))]
    moments = {one: NOW + chance.randrange(9) for one in ("published_at", "expires_at") if chance.random() < 0.3}
    title, available = f"{key} {chance.randrange(9)}", chance.random() < 0.8
    return msgspec.json.encode(Item(item_id=key, title=title, categories=labels, available=available, **moments))


def one_embedding(chance: random.Random) -> bytes | None:
    """A vector, and now and then a deletion, an empty one, one of another model or width, or a damaged one."""
    vector = np.array([chance.uniform(-1, 1) for _ in range(D)], np.float32)
    text = str(chance.random())
    if not chance.randrange(ODD_EVERY):
        broken = [np.zeros(D, "<f2"), np.full(D, np.inf, "<f2"), np.full(D, np.nan, "<f2"), np.ones(D + 1, "<f2")]
        raw = [ItemEmbedding("v", text_hash("v", text), one.tobytes()) for one in broken]
        odd = [*raw, from_vector("v", "", None), from_vector("w", text, vector), ItemEmbedding("v", b"", b"x")]
        odd.append(ItemEmbedding("v", b"short", vector.astype("<f2").tobytes()))
        return chance.choice([None, b"nonsense", *map(pack, odd)])
    return pack(from_vector("v", text, vector))


def one_profile(chance: random.Random) -> bytes | None:
    touches = tuple(Touch(NOW + at, f"e{at}", f"i{chance.randrange(40)}", "click", None, at) for at in range(5))
    raw = pack(Profile(touches, chance.randrange(50)))
    return chance.choice([None, raw[:-1], b""]) if not chance.randrange(ODD_EVERY) else raw


def topics(count: int, seed: int) -> list[list[LogRecord]]:
    """The records of each partition, in order: each key comes again and again."""
    chance = random.Random(seed)
    values = {
        ITEMS: lambda key: one_item(chance, key),
        ITEM_EMBEDDINGS: lambda key: one_embedding(chance),
        USER_PROFILES: lambda key: one_profile(chance),
    }
    found = [
        [
            LogRecord(topic, 0, at, NOW + at, key.encode() if chance.randrange(50) else b"\xff", value(key))
            for at, key in enumerate(f"i{chance.randrange(count)}" for _ in range(count))
        ]
        for topic, value in values.items()
    ]
    signals = sorted(shares(count, seed), key=lambda one: one.partition)
    return [*found, *([*some] for _, some in groupby(signals, lambda one: one.partition))]


def shuffled(partitions: Sequence[Sequence[LogRecord]], seed: int) -> list[Sequence[LogRecord]]:
    """Pieces of different lengths, in order within a partition, as fetches bring them."""
    chance, left, found = random.Random(seed), [list(one) for one in partitions], []
    while left := [one for one in left if one]:
        one, count = chance.choice(left), chance.randrange(1, 90)
        found.append(one[:count])
        del one[:count]
    return found


def model_of(pieces: Sequence[Sequence[LogRecord]], loading: bool) -> ReadModel:
    model = ReadModel(load_settings(ServingSettings), FaissIndex(D))
    if loading:
        model.begin_loading()
    for piece in pieces:
        for some in [piece] if loading else [[one] for one in piece]:
            model.apply(some)
    model.settle()
    return model


def held(model: ReadModel) -> dict[str, object]:
    """All that is held of each item, by its id."""
    catalogue = model.catalogue
    texts = catalogue.texts.codes * catalogue.texts.scales[:, None]
    moments = (catalogue.published_ms, catalogue.expires_ms)
    arrays = (catalogue.live, catalogue.available, *moments, catalogue.text_hashes, catalogue.tie, texts)
    names = {number: name for name, number in catalogue.categories.items()} | {0: ""}
    items = {
        item_id: (
            catalogue.items[row],
            [one[row].tolist() for one in arrays],
            [names[one] for one in catalogue.category_ids[row].tolist()],
            {name for name in catalogue.categories if row in catalogue.by_category.get(name)},
            catalogue.vectors[row].tobytes(),
            row in catalogue.changed,
        )
        for item_id, row in catalogue.rows.items()
    }
    facts = (catalogue.model_version, catalogue.other_versions, len(catalogue.index), [*catalogue.categories])
    return {"items": items, "facts": facts, "behaviour": told(model), "hashes": state_hashes(model)}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("at_once", [1, 4, 250])
def test_what_is_put_down_and_settled_is_what_is_applied_one_by_one(monkeypatch, caplog, seed, at_once):
    monkeypatch.setattr(many, "PIECE", at_once)
    pieces = shuffled(topics(300, seed), seed)
    alone = model_of(pieces, loading=False)
    refused = sorted(caplog.messages)
    caplog.clear()
    assert held(model_of(pieces, loading=True)) == held(alone)
    assert sorted(caplog.messages) == refused and len({*refused}) > 10


def usual(count: int, start: int = 0) -> list[list[LogRecord]]:
    items = [msgspec.json.encode(Item(item_id=f"i{at}", categories=["a"])) for at in range(start, start + count)]
    vectors = np.random.default_rng(start).standard_normal((count, D)).astype(np.float32)
    embeddings = [pack(from_vector("v", "text", one)) for one in vectors]
    return [
        [LogRecord(topic, 0, at, NOW, f"i{start + at}".encode(), value) for at, value in enumerate(values)]
        for topic, values in ((ITEMS, items), (ITEM_EMBEDDINGS, embeddings))
    ]


def left(partitions: Sequence[Sequence[LogRecord]]) -> list[LogRecord]:
    """What is not taken many at once."""
    model = ReadModel(load_settings(ServingSettings), FaissIndex(D))
    model.begin_loading()
    taking = many.Many(model.settings, model.catalogue, model.behaviour)
    return [record for one in partitions for record in taking.left_of(one)]


def test_usual_records_are_all_taken_many_at_once():
    assert left([*usual(600), shares(600)]) == []


@pytest.mark.parametrize("topic", [0, 1])
def test_one_record_that_is_unusual_leaves_only_its_piece_to_be_applied_one_by_one(topic):
    records = usual(4 * many.PIECE)[topic]
    records[many.PIECE] = msgspec.structs.replace(records[many.PIECE], value=b"nonsense")
    assert left([records]) == records[many.PIECE : 2 * many.PIECE]


def test_records_of_several_topics_in_one_batch_are_taken_in_their_order():
    items, embeddings = usual(30)
    mixed = [one for pair in zip(items, embeddings, strict=True) for one in pair] + [
        msgspec.structs.replace(items[3], value=None)
    ]
    assert held(model_of([mixed], loading=True)) == held(model_of([mixed], loading=False))


def test_after_settling_records_are_applied_one_by_one_and_change_what_was_put_down():
    pieces, more = shuffled(topics(200, 1), 1), shuffled(topics(200, 2), 2)
    one, other = model_of(pieces, loading=True), model_of(pieces, loading=False)
    for piece in more:
        one.apply(piece)
        other.apply(piece)
    assert held(one) == held(other)


def test_what_is_forgotten_while_loading_is_filled_anew():
    model = ReadModel(load_settings(ServingSettings), FaissIndex(D))
    model.begin_loading()
    model.apply(usual(20)[0])
    model.clear()
    model.begin_loading()
    for records in usual(30, start=5):
        model.apply(records)
    model.settle()
    assert held(model) == held(model_of(usual(30, start=5), loading=False))


def test_vectors_made_together_are_those_made_alone_to_the_last_bit():
    vectors = np.random.default_rng(1).standard_normal((500, 384)).astype(np.float32)
    embeddings = [from_vector("v", "text", one) for one in vectors]
    together = to_vectors(embeddings, 384)
    assert together is not None
    assert together.tobytes() == b"".join(to_vector(one).tobytes() for one in embeddings)

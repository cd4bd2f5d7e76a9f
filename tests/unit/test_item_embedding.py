import msgspec
import numpy as np
import pytest

from domain.codecs import pack, unpack
from domain.errors import MalformedEvent
from embeddings.item_embedding import ItemEmbedding, from_vector, text_hash, to_vector


def a_vector(dimension=384, seed=0):
    row = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return row / np.linalg.norm(row)


def test_a_vector_survives_the_topic_with_unit_norm():
    vector = a_vector()
    again = to_vector(unpack(pack(from_vector("m@1", "Heat", vector)), ItemEmbedding))
    assert again.dtype == np.float32 and again.shape == (384,)
    assert abs(float(np.linalg.norm(again)) - 1) < 1e-6
    assert float(again @ vector) > 0.999999


def test_the_wire_format_is_little_endian_half_precision_in_a_fixed_order():
    embedding = from_vector("m@1", "Heat", np.array([1, -2, 0.5], np.float32))
    assert embedding.vector == bytes.fromhex("003c00c00038")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(embedding)) == [
        "m@1",
        text_hash("m@1", "Heat"),
        embedding.vector,
    ]


@pytest.mark.parametrize("text, vector", [("", a_vector()), (" \n", a_vector()), ("Heat", None)])
def test_an_item_without_text_has_an_empty_embedding(text, vector):
    embedding = from_vector("m@1", text, vector)
    assert embedding.vector == b"" and to_vector(embedding) is None
    assert embedding.text_hash == text_hash("m@1", text)


def test_the_hash_has_16_bytes_and_changes_with_the_text_and_with_the_model():
    hashes = {text_hash("m@1", "Heat"), text_hash("m@1", "heat"), text_hash("m@2", "Heat"), text_hash("m@1", "")}
    assert len(hashes) == 4 and all(len(one) == 16 for one in hashes)
    assert text_hash("m@1", "Heat 🔥 热") == text_hash("m@1", "Heat 🔥 热")


@pytest.mark.parametrize("vector", [np.ones((2, 3)), np.array([1, np.nan]), np.array([np.inf])])
def test_a_vector_that_is_not_one_row_of_finite_numbers_is_refused(vector):
    with pytest.raises(ValueError, match="one row of finite numbers"):
        from_vector("m@1", "Heat", vector.astype(np.float32))


@pytest.mark.parametrize("raw", [b"\0", b"\0\0\0\0", np.array([np.nan, 1], "<f2").tobytes(), b"\0\x7c"])
def test_bytes_without_a_direction_are_malformed(raw):
    with pytest.raises(MalformedEvent, match="ItemEmbedding"):
        to_vector(ItemEmbedding("m@1", b"", raw))

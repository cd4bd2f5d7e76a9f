"""The item embedding: what the stream worker writes to the `item-embeddings` topic and replicas read.

Half precision is enough (a cosine moves by less than 0.001) and halves the topic and a replica's start.
"""

import hashlib
from collections.abc import Sequence
from math import inf, sqrt

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.errors import MalformedEvent


class ItemEmbedding(msgspec.Struct, frozen=True, array_like=True):
    """One item's text as a vector; encoded with `domain.codecs.pack`, so the order of the fields is fixed.

    Attributes:
        model_version: the encoder's `version`; vectors of two versions are never compared.
        text_hash: what `text_hash` gives, so that a worker knows an unchanged text without encoding it.
        vector: D float16 values, little-endian; empty for an item without text.
    """

    model_version: str
    text_hash: bytes
    vector: bytes


def text_hash(model_version: str, text: str) -> bytes:
    """Returns 16 bytes that change when the text or the model does."""
    return hashlib.sha256(f"{model_version}\0{text}".encode()).digest()[:16]


def from_vector(model_version: str, text: str, vector: NDArray[np.float32] | None) -> ItemEmbedding:
    """Returns the topic's value for a text.

    Args:
        model_version: the encoder's `version`.
        text: what was encoded. Blank: the embedding is empty, whatever the vector.
        vector: (D,) float32, unit length; None for an empty embedding.

    Raises:
        ValueError: the vector is not one row of finite numbers.
    """
    raw = b""
    if vector is not None and text.strip():
        if vector.ndim != 1 or not np.isfinite(vector).all():
            raise ValueError(f"an item's vector is one row of finite numbers, got shape {vector.shape}")
        raw = vector.astype("<f2").tobytes()
    return ItemEmbedding(model_version, text_hash(model_version, text), raw)


def to_vector(embedding: ItemEmbedding) -> NDArray[np.float32] | None:
    """Returns the vector, (D,) float32 of unit length again after the rounding; None for an empty one.

    Raises:
        MalformedEvent: the bytes are no float16 vector that has a direction.
    """
    if not embedding.vector:
        return None
    if len(embedding.vector) % 2:
        raise MalformedEvent(f"ItemEmbedding: {len(embedding.vector)} bytes are not a row of float16 values")
    vector = np.frombuffer(embedding.vector, "<f2").astype(np.float32)
    norm = sqrt(vector.dot(vector))  # NumPy's own takes several times as long for one number
    if not 0.0 < norm < inf:
        raise MalformedEvent("ItemEmbedding: the vector is zero or not finite")
    vector /= norm
    return vector


def to_vectors(embeddings: Sequence[ItemEmbedding], dimension: int) -> NDArray[np.float32] | None:
    """Returns, to the last bit, what `to_vector` makes of each, (N, D).

    None if any is empty, damaged or of another width.
    """
    if any(len(one.vector) != 2 * dimension for one in embeddings):
        return None
    halves = np.frombuffer(b"".join([one.vector for one in embeddings]), "<f2").reshape(-1, dimension)
    vectors = halves.astype(np.float32)
    norms = np.sqrt(np.vecdot(vectors, vectors).astype(np.float64)).astype(np.float32)
    if not (norms.min() > 0 and norms.max() < inf):
        return None
    vectors /= norms[:, None]
    return vectors

"""The event path without Kafka: what a worker would write goes straight to what a replica would read."""

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import NDArray

from domain.codecs import pack
from domain.interactions import Interaction
from domain.items import Item
from domain.log_reader import LogRecord
from domain.models import describe, moved, records_of
from domain.settings import ServingSettings
from domain.topics import INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, MODELS, USER_PROFILES
from embeddings.faiss_index import FaissIndex
from embeddings.item_embedding import from_vector
from learning.signals_record import pack_share
from serving.features import NAMES
from serving.pipeline import Slate, recommend
from serving.query import Query, stored_query
from serving.read_model import ReadModel
from stream.partition_state import PartitionState
from stream.profile_updates import Rules, apply_interactions


class World:
    """One worker that owns one partition, and one replica.

    Attributes:
        model: the replica's read model.
        offset: how many interactions it has seen.
    """

    def __init__(self, settings: ServingSettings, dimension: int) -> None:
        self.settings = settings
        self.model = ReadModel(settings, FaissIndex(dimension, settings.exact_index_below), features=NAMES)
        self.offset = 0
        self._rules = Rules(settings.all_interaction_types(), settings.profile_size)
        self._state = PartitionState()

    def put_items(self, items: Sequence[Item], vectors: NDArray[np.float32], version: str, now_ms: int) -> None:
        """Puts a catalogue with its text vectors, (N, D), in the order of the items."""
        for item, vector in zip(items, vectors, strict=True):
            embedding = pack(from_vector(version, item.text(), vector))
            self._apply(ITEMS, item.item_id, msgspec.json.encode(item), now_ms)
            self._apply(ITEM_EMBEDDINGS, item.item_id, embedding, now_ms)
            self.model.catalogue.index.wait()  # or figures would depend on when the background has its turn

    def learn(self, raw: Sequence[bytes], interactions: Sequence[Interaction]) -> None:
        """Applies interactions in the order given, as one batch: their encoded and their decoded form."""
        topic = self.settings.topic(INTERACTIONS)
        records = [
            LogRecord(topic, 0, self.offset + at, one.time_ms, one.user_id.encode(), value)
            for at, (value, one) in enumerate(zip(raw, interactions, strict=True))
        ]
        self.offset += len(records)
        outcome = apply_interactions(self._state, records, self._rules)
        for item_id, share in outcome.signals.items():
            self._apply(ITEM_SIGNALS, item_id, pack_share(share), 0)
        for user_id, profile in outcome.profiles.items():
            self._apply(USER_PROFILES, user_id, profile, 0)

    def put_model(self, name: str, raw: bytes, now_ms: int) -> None:
        """Makes a model the active one, as the topic `models` would."""
        for key, value in records_of_active(name, raw, now_ms):
            self._apply(MODELS, key, value, now_ms)

    def query(self, user_id: str, now_ms: int, count: int) -> Query:
        """Returns the query that serving would make of a plain GET."""
        self.model.behaviour.settle_links(now_ms / 1000, math.inf)  # as a replica does by the way
        space = self.model.sequence_space()
        if space is not None:
            space.index.wait()
        return stored_query(self.model, user_id, count, now_ms)

    def recommend(self, query: Query) -> Slate:
        """Answers as serving does."""
        return recommend(query)

    def _apply(self, topic: str, key: str, value: bytes, now_ms: int) -> None:
        self.model.apply([LogRecord(self.settings.topic(topic), 0, 0, now_ms, key.encode(), value)])


def records_of_active(name: str, raw: bytes, now_ms: int) -> list[tuple[str, bytes]]:
    """Returns the records of an artefact and the pointer that makes it active."""
    manifest = describe(name, raw, now_ms, {}, {}, "")
    return [*records_of(manifest, raw), (name, pack(moved(None, manifest.version, "promoted", now_ms)))]

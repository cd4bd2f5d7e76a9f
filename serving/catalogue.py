"""The items as the request path sees them: a row number for each, arrays by row, and their text vectors."""

from collections import defaultdict
from collections.abc import Callable
from zlib import crc32

import numpy as np

from domain.items import Item
from embeddings.ann_index import AnnIndex
from embeddings.item_embedding import ItemEmbedding, to_vector

FIRST_CAPACITY = 1024
NEVER_MS = np.iinfo(np.int64).max
UNSET_MS = -1
CATEGORIES_LOOKED_AT = 8


class Catalogue:
    """Items by row. A row is given to an id on first sight, by whichever topic, and never taken away.

    Attributes:
        rows: row of each item id.
        ids: item id of each row.
        items: the item of each row; None if it was never described, or deleted.
        live: (capacity,) bool: the row has an item.
        available: (capacity,) bool, as the item says.
        published_ms, expires_ms: (capacity,) int64; an item without `published_at` counts from when its
            record first came; one without `expires_at` never expires.
        vectors: (capacity, D) float32, unit rows; zero where an item has no text or is not embedded yet.
        text_hashes: what each row's vector was made of, the embedding's `text_hash`; for the state hash.
        tie: (capacity,) uint32, a hash of the id: equal scores are ordered by it, the same on every replica.
        index: nearest neighbours over the rows that have a vector.
        by_category: rows of each category.
        categories, category_ids: number of each category from 1, and (capacity, 8) int32 those of each row,
            the first CATEGORIES_LOOKED_AT of an item, padded with 0.
        when_grown: called with the new capacity, for arrays by row that others keep.
        vector_changes: the rows whose vector changed, in order; who derives from vectors remembers how far it read.
    """

    def __init__(self, index: AnnIndex, model_version: str | None) -> None:
        self.index = index
        self.model_version = model_version
        self.rows: dict[str, int] = {}
        self.ids: list[str] = []
        self.items: list[Item | None] = []
        self.live = np.zeros(FIRST_CAPACITY, np.bool_)
        self.available = np.zeros(FIRST_CAPACITY, np.bool_)
        self.published_ms = np.full(FIRST_CAPACITY, UNSET_MS, np.int64)
        self.expires_ms = np.full(FIRST_CAPACITY, NEVER_MS, np.int64)
        self.tie = np.zeros(FIRST_CAPACITY, np.uint32)
        self.vectors = np.zeros((FIRST_CAPACITY, index.dimension), np.float32)
        self.text_hashes: dict[int, bytes] = {}
        self.by_category: dict[str, set[int]] = defaultdict(set)
        self.categories: dict[str, int] = {}
        self.category_ids = np.zeros((FIRST_CAPACITY, CATEGORIES_LOOKED_AT), np.int32)
        self.vector_changes: list[int] = []
        self.other_versions = 0
        self.when_grown: list[Callable[[int], None]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, item_id: str) -> int:
        """Returns the row of an id, giving it one if it has none."""
        row = self.rows.get(item_id)
        if row is None:
            row = self.rows[item_id] = len(self.ids)
            self.ids.append(item_id)
            self.items.append(None)
            if row >= len(self.live):
                self._grow()
            self.tie[row] = crc32(item_id.encode())
        return row

    def title(self, row: int) -> str:
        """The item's title, or its id where it has none."""
        item = self.items[row]
        return (item.title if item else "") or self.ids[row]

    def put_item(self, item_id: str, item: Item | None, arrived_ms: int) -> None:
        """Takes an item as it now is; None deletes it."""
        row = self.row(item_id)
        before = self.items[row]
        for category in before.categories if before else ():
            self.by_category[category].discard(row)
        self.items[row] = item
        self.live[row] = item is not None
        if item is None:
            return
        for category in item.categories:
            self.by_category[category].add(row)
        numbers = [self.categories.setdefault(one, len(self.categories) + 1) for one in item.categories]
        self.category_ids[row] = 0
        self.category_ids[row, : len(numbers[:CATEGORIES_LOOKED_AT])] = numbers[:CATEGORIES_LOOKED_AT]
        self.available[row] = item.available
        if item.published_at is not None:
            self.published_ms[row] = int(item.published_at)
        elif self.published_ms[row] == UNSET_MS:
            self.published_ms[row] = arrived_ms
        self.expires_ms[row] = NEVER_MS if item.expires_at is None else int(item.expires_at)

    def put_embedding(self, item_id: str, embedding: ItemEmbedding | None) -> None:
        """Takes an item's vector, or its absence. One of another model is left out: versions never mix."""
        if embedding is not None:
            if self.model_version is None:
                self.model_version = embedding.model_version
            if embedding.model_version != self.model_version:
                self.other_versions += 1
                return
        row = self.row(item_id)
        self.vector_changes.append(row)
        vector = to_vector(embedding) if embedding is not None else None
        self.text_hashes[row] = embedding.text_hash if embedding is not None else b""
        if vector is None:
            self.vectors[row] = 0
            self.index.remove(np.array([row]))
        else:
            self.vectors[row] = vector
            self.index.add(np.array([row]), vector[None])

    def _grow(self) -> None:
        for name in ("live", "available", "tie", "vectors", "category_ids"):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.zeros_like(old)]))
        for name, empty in (("published_ms", UNSET_MS), ("expires_ms", NEVER_MS)):
            old = getattr(self, name)
            setattr(self, name, np.concatenate([old, np.full_like(old, empty)]))
        for grow in self.when_grown:
            grow(len(self.live))

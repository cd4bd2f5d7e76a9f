"""The items as the request path sees them: a row number for each, arrays by row, and their text vectors."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from zlib import crc32

import msgspec
import numpy as np

from domain.items import Item
from embeddings.ann_index import AnnIndex
from embeddings.item_embedding import ItemEmbedding, to_vector
from serving.columns import Column, Columns
from serving.numbering import Numbering

FIRST_CAPACITY = 1024
NEVER_MS = np.iinfo(np.int64).max
UNSET_MS = -1
EMPTY = {"published_ms": UNSET_MS, "expires_ms": NEVER_MS}
CATEGORIES_LOOKED_AT = 8
_item = msgspec.msgpack.Decoder(Item)


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
        numbering: for whoever answers a query, one at a time.
        changed: rows whose item changed or lost its history; `NewItems` takes them away.
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
        self.numbering = Numbering()
        self.changed: set[int] = set()
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
                self._grow(2 * len(self.live))
            self.tie[row] = crc32(item_id.encode())
        return row

    def title(self, row: int) -> str:
        """The item's title, or its id where it has none."""
        item = self.items[row]
        return (item.title if item else "") or self.ids[row]

    def put_item(self, item_id: str, item: Item | None, arrived_ms: int) -> None:
        """Takes an item as it now is; None deletes it."""
        row = self.row(item_id)
        self.changed.add(row)
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

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Gives what a snapshot needs beside the index, step by step; nothing may be put in between."""
        size = len(self)
        for name in ("live", "available", "published_ms", "expires_ms"):
            yield name, getattr(self, name)[:size].copy()
        for at in range(CATEGORIES_LOOKED_AT):
            yield f"category_ids-{at}", self.category_ids[:size, at].copy()
        yield "categories", (name.encode() for name in list(self.categories))
        hashes = self.text_hashes.copy()
        yield "text_hashes", (hashes.get(row, b"") for row in range(size))
        yield "ids", (item_id.encode() for item_id in self.ids[:size])
        yield "items", (b"" if item is None else msgspec.msgpack.encode(item) for item in self.items[:size])

    def restore(self, columns: Columns) -> None:
        """Takes what `columns` gave, into an empty one whose index holds the vectors of that snapshot."""
        self.ids = [one.decode() for one in columns.strings("ids")]
        self.rows = {item_id: row for row, item_id in enumerate(self.ids)}
        size = len(self.ids)
        if size > len(self.live):
            self._grow(size + size // 4)
        for name in ("live", "available", "published_ms", "expires_ms"):
            getattr(self, name)[:size] = columns.array(name)
        for at in range(CATEGORIES_LOOKED_AT):
            self.category_ids[:size, at] = columns.array(f"category_ids-{at}")
        self.categories = {one.decode(): number for number, one in enumerate(columns.strings("categories"), 1)}
        self.tie[:size] = [crc32(one) for one in columns.strings("ids")]
        self.items = [_item.decode(one) if one else None for one in columns.strings("items")]
        for row, item in enumerate(self.items):
            for category in item.categories if item else ():
                self.by_category[category].add(row)
        self.text_hashes = {row: one for row, one in enumerate(columns.strings("text_hashes")) if one}
        self.index.fill(self.vectors)

    def _grow(self, capacity: int) -> None:
        for name in ("live", "available", "tie", "vectors", "category_ids", "published_ms", "expires_ms"):
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
            if name in EMPTY:
                new[len(old) :] = EMPTY[name]
        for grow in self.when_grown:
            grow(len(self.live))

"""The items as the request path sees them: a row number for each, arrays by row, and their text vectors."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AbstractContextManager
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from domain.errors import MalformedEvent
from domain.items import Item
from embeddings.ann_index import AnnIndex
from embeddings.item_embedding import ItemEmbedding, to_vector, to_vectors
from serving.columns import Column, Columns, by_row
from serving.later import Later
from serving.numbering import Numbering
from serving.rows import Items, RowSets, Vectors
from serving.texts import Texts

FIRST_CAPACITY = 1024
NEVER_MS = np.iinfo(np.int64).max
UNSET_MS = -1
EMPTY = {"published_ms": UNSET_MS, "expires_ms": NEVER_MS}
CATEGORIES_LOOKED_AT = 8
NO_CATEGORIES = [0] * CATEGORIES_LOOKED_AT
TEXT_HASH_BYTES = 16
VECTORS_AT_ONCE = 32_768
"""At the start so many vectors wait to come into the index together, 50 MB of 384 numbers each. An index that is built
of fewer is soon built anew, and each time reading waits for the thread that builds."""

SAVED = ("live", "available", "tie", "category_ids", "published_ms", "expires_ms", "text_hashes")
"""The arrays by row."""


class Catalogue:
    """Items by row. A row is given to an id on first sight, by whichever topic, and never taken away.

    Attributes:
        rows: row of each item id.
        ids: item id of each row.
        items: the item of each row; None if it was never described, or deleted. Decoded when it is asked for.
        live: (capacity,) bool: the row has an item.
        available: (capacity,) bool, as the item says.
        published_ms, expires_ms: (capacity,) int64; an item without `published_at` counts from when its
            record first came; one without `expires_at` never expires.
        vectors: by row or rows, (D,) or (some, D) float32, unit rows; zero where an item has no text or is not
            embedded yet. They lie in the index only.
        texts: the same in a byte for each number.
        text_hashes: (capacity, 16) uint8: what each row's vector was made of, the embedding's `text_hash`.
        tie: (capacity,) uint32, a hash of the id: equal scores are ordered by it, the same on every replica.
        index: nearest neighbours over the rows that have a vector.
        by_category: rows of each category, a set.
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
        self.items = Items()
        self.live = np.zeros(FIRST_CAPACITY, np.bool_)
        self.available = np.zeros(FIRST_CAPACITY, np.bool_)
        self.published_ms = np.full(FIRST_CAPACITY, UNSET_MS, np.int64)
        self.expires_ms = np.full(FIRST_CAPACITY, NEVER_MS, np.int64)
        self.tie = np.zeros(FIRST_CAPACITY, np.uint32)
        self.vectors = Vectors(index)
        self.texts = Texts(index.dimension, FIRST_CAPACITY)
        self.text_hashes = np.zeros((FIRST_CAPACITY, TEXT_HASH_BYTES), np.uint8)
        self.by_category = RowSets()
        self.categories: dict[str, int] = {}
        self.category_ids = np.zeros((FIRST_CAPACITY, CATEGORIES_LOOKED_AT), np.int32)
        self.vector_changes: list[int] = []
        self._due: dict[int, NDArray[np.float32] | None] = {}
        self._later = Later(self._index_due)
        self._loading = False
        self.other_versions = 0
        self.numbering = Numbering(FIRST_CAPACITY)
        self.changed: set[int] = set()
        self.when_grown: list[Callable[[int], None]] = []

    def __len__(self) -> int:
        return len(self.ids)

    def row(self, item_id: str) -> int:
        """Returns the row of an id, giving it one if it has none."""
        row = self.rows.get(item_id)
        if row is None:
            row = len(self.ids)
            if row >= len(self.live):  # before anybody can see the row: requests are answered while topics are read
                self._grow(2 * len(self.live))
            self.rows[item_id] = row
            self.ids.append(item_id)
            self.tie[row] = crc32(item_id.encode())
        return row

    def rows_of(self, item_ids: Collection[str]) -> list[int]:
        """Returns the rows of some ids, giving one to each that has none."""
        rows = [*map(self.rows.get, item_ids)]
        if None in rows:
            for item_id, row in zip(item_ids, rows, strict=True):
                if row is None:
                    self.row(item_id)
            rows = [*map(self.rows.get, item_ids)]
        return rows  # type: ignore[return-value]

    def title(self, row: int) -> str:
        """The item's title, or its id where it has none."""
        item = self.items[row]
        return (item.title if item else "") or self.ids[row]

    def put_item(self, item_id: str, item: Item | None, arrived_ms: int) -> None:
        """Takes an item as it now is; None deletes it."""
        row = self.row(item_id)
        self.changed.add(row)
        before = self.items[row] if self.live[row] else None
        for category in before.categories if before else ():
            self.by_category[category].discard(row)
        self.items[row] = item
        self.live[row] = item is not None
        if item is None:
            return
        for category in item.categories:
            self.by_category[category].add(row)
        self.category_ids[row] = self._category_ids(item)
        self.available[row] = item.available
        if item.published_at is not None:
            self.published_ms[row] = int(item.published_at)
        elif self.published_ms[row] == UNSET_MS:
            self.published_ms[row] = arrived_ms
        self.expires_ms[row] = NEVER_MS if item.expires_at is None else int(item.expires_at)

    def put_new(self, items: Sequence[Item], arrived_ms: Sequence[int]) -> bool:
        """Takes items as `put_item` does if it holds none of them and each is there once; says whether it did."""
        rows = self.rows_of([one.item_id for one in items])
        at = np.array(rows, np.int64)
        if self.live[at].any() or len({*rows}) < len(rows):
            return False
        self.changed.update(rows)
        self.items.put(rows, items)
        for row, item in zip(rows, items, strict=True):
            for category in item.categories:
                self.by_category[category].add(row)
        self.category_ids[at] = [self._category_ids(one) for one in items]
        self.available[at] = [one.available for one in items]
        since = np.where(self.published_ms[at] == UNSET_MS, arrived_ms, self.published_ms[at])
        published = np.array([UNSET_MS if one.published_at is None else int(one.published_at) for one in items])
        self.published_ms[at] = np.where(published == UNSET_MS, since, published)
        self.expires_ms[at] = [NEVER_MS if one.expires_at is None else int(one.expires_at) for one in items]
        self.live[at] = True
        return True

    def _category_ids(self, item: Item) -> list[int]:
        """Returns the numbers of an item's categories as `category_ids` has them; new ones get one."""
        numbers = [self.categories.setdefault(one, len(self.categories) + 1) for one in item.categories]
        return (numbers + NO_CATEGORIES)[:CATEGORIES_LOOKED_AT]

    def put_embedding(self, item_id: str, embedding: ItemEmbedding | None) -> None:
        """Takes an item's vector, or its absence. One of another model is left out: versions never mix."""
        if embedding is not None:
            if self.model_version is None:
                self.model_version = embedding.model_version
            if embedding.model_version != self.model_version:
                self.other_versions += 1
                return
        vector = to_vector(embedding) if embedding is not None else None
        if vector is not None and len(vector) != self.index.dimension:
            raise MalformedEvent(f"ItemEmbedding: the vector has {len(vector)} dimensions, not {self.index.dimension}")
        row = self.row(item_id)
        text_hash = embedding.text_hash if embedding is not None else b""
        self.text_hashes[row] = np.frombuffer(text_hash[:TEXT_HASH_BYTES].ljust(TEXT_HASH_BYTES, b"\0"), np.uint8)
        self._due[row] = vector
        self._later.changed()

    def put_embeddings(self, item_ids: Sequence[str], embeddings: Sequence[ItemEmbedding]) -> bool:
        """Takes vectors as `put_embedding` does if all are of this model and none is missing; says whether it did."""
        version = self.model_version or embeddings[0].model_version
        if any(one.model_version != version or len(one.text_hash) != TEXT_HASH_BYTES for one in embeddings):
            return False
        vectors = to_vectors(embeddings, self.index.dimension)
        if vectors is None:
            return False
        self.model_version = version
        rows = self.rows_of(item_ids)
        hashes = np.frombuffer(b"".join([one.text_hash for one in embeddings]), np.uint8)
        self.text_hashes[rows] = hashes.reshape(-1, TEXT_HASH_BYTES)
        self._due.update(zip(rows, vectors, strict=True))
        self._later.changed()
        return True

    def begin_loading(self) -> None:
        """From now on vectors come into the index many at a time, until `settle`; no effect where anything is held."""
        self._loading = self._loading or not len(self)

    def settle(self) -> None:
        """Takes the vectors into the index that wait since `begin_loading`."""
        self._loading = False
        self._index_due()

    def together(self) -> AbstractContextManager[None]:
        """Lets the vectors that are put within come into the index at the end, all at once: a third of the cost."""
        return self._later.together()

    def _index_due(self) -> None:
        if self._loading and len(self._due) < VECTORS_AT_ONCE:
            return
        due, self._due = self._due, {}
        gone = [row for row, vector in due.items() if vector is None]
        new = {row: vector for row, vector in due.items() if vector is not None}
        if gone:
            self.index.remove(np.array(gone, np.int64))
            self.texts.scales[gone] = 0
        if new:
            rows, vectors = np.fromiter(new, np.int64, len(new)), np.concatenate([*new.values()])
            vectors = vectors.reshape(len(new), -1)
            self.texts.put(rows, vectors)
            self.index.add(rows, vectors)  # the last, as a thread that builds may start with it
        self.vector_changes.extend(due)

    def columns(self) -> Iterator[tuple[str, Column]]:
        """Gives what a snapshot needs beside the index, step by step; nothing may be put in between."""
        size = len(self)
        for name in SAVED:
            yield name, getattr(self, name)[:size].copy()
        names = list(self.categories)
        yield "categories", (name.encode() for name in names)
        yield "by_category", self.by_category.frozen(names)
        yield "ids", (item_id.encode() for item_id in self.ids[:size])
        yield "items", by_row(self.items.frozen(), size)

    def restore(self, columns: Columns) -> None:
        """Takes what `columns` gave, into an empty one whose index holds the vectors of that snapshot."""
        self.ids = columns.strings("ids").texts()
        self.rows = dict(zip(self.ids, range(len(self.ids)), strict=True))
        size = len(self.ids)
        if size > len(self.live):
            self._grow(size + size // 4)
        for name in SAVED:
            getattr(self, name)[:size] = columns.array(name)
        self.texts.restore(self.index, size)
        self.categories = {name: number for number, name in enumerate(columns.strings("categories").texts(), 1)}
        self.by_category = RowSets(self.categories, columns.strings("by_category"))
        self.items = Items(columns.strings("items"))

    def _grow(self, capacity: int) -> None:
        for name in SAVED:
            old = getattr(self, name)
            new = np.zeros((capacity, *old.shape[1:]), old.dtype)
            new[: len(old)] = old
            setattr(self, name, new)
            if name in EMPTY:
                new[len(old) :] = EMPTY[name]
        self.texts.grow(capacity)
        self.numbering = Numbering(capacity)
        for grow in self.when_grown:
            grow(len(self.live))

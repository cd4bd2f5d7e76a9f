"""A replica's memory by the million, made up: the columns of a snapshot, without Kafka and without a worker.

Applying as many records takes minutes, and is measured elsewhere. Profiles, shares and links are of the size that
they have in bench/snapshot.py, of which some thousands are made and used again and again: nothing looks twice at them.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

from bench.vectors import PIECE, Vectors
from domain.clock import DAY_MS
from domain.codecs import pack
from domain.items import Item
from domain.profile import Profile, Touch
from domain.settings import ServingSettings
from embeddings.faiss_index import FaissIndex
from learning.signals import ONCE, POPULARITY_HALF_LIVES_DAYS, STAGES, ItemSignals
from learning.signals_record import WrittenShare, written
from serving.catalogue import CATEGORIES_LOOKED_AT, NEVER_MS, TEXT_HASH_BYTES
from serving.columns import Column, Columns, Ragged
from serving.read_model import Facts, ReadModel
from serving.snapshot import files
from serving.snapshot.place import Origin, Place
from serving.snapshot.told import told_of

SHELVES = 1000
"""Values of the attribute `shelf`, each as frequent as the others: for filters."""

D, TOUCHES, PARTITIONS, BEFORE, KINDS, DISTINCT = 384, 20, 4, 12, 40, 2_000
"""Width of vectors, interactions of a profile, shares of an item, predecessors in each, categories; and how many
different values are made."""

LINKS = BEFORE * PARTITIONS
"""Items that each one leads to, and as many that lead to it."""

LATENT, OFF = 12, 0.2
NOW = 1_795_326_060_000
VERSION = "v"
PLACE = Place(Origin("", {}), {}, NOW)


def write(settings: ServingSettings, users: int, items: int, touches: int = TOUCHES, place: Place = PLACE) -> int:
    """Writes the snapshot of a replica with so many users and items, read up to a place; returns its bytes."""
    told = msgspec.to_builtins(told_of(ReadModel(settings, FaissIndex(D), VERSION), place), str_keys=True)
    index = _index(settings, items)
    columns = _columns(users, items, touches)
    return files.write(Path(settings.snapshot_path), told, columns, index.frozen(), lambda: None).bytes


async def restore(model: ReadModel, users: int, items: int, touches: int, links: int = LINKS) -> None:
    """Fills a read model with so many users and items, each user with so many interactions, each item with links."""
    found: dict[str, NDArray[np.generic] | Ragged] = {}
    for name, column in _columns(users, items, touches, links):
        if isinstance(column, np.ndarray):
            found[name] = column
        else:
            strings = list(column)
            found[name] = Ragged(np.fromiter(map(len, strings), np.int64, len(strings)), b"".join(strings))
    await model.restore(_index(model.settings, items), Columns(found))


def _index(settings: ServingSettings, items: int) -> FaissIndex:
    index = FaissIndex(D, settings.exact_index_below)
    index.add(np.arange(items), vectors(items))
    index.wait()
    return index


def vectors(count: int, seed: int = 0) -> Vectors:
    """Returns points that lie about LATENT dimensions, as those of texts do, and a little off them."""
    found = np.empty((count, D), np.float32)
    plane = np.random.default_rng(0).standard_normal((LATENT, D), np.float32) / np.float32(LATENT**0.5)
    for start in range(0, count, PIECE):
        part, chance = found[start : start + PIECE], np.random.default_rng((seed, start))
        chance.standard_normal(out=part, dtype=np.float32)
        part *= OFF
        part += chance.standard_normal((len(part), LATENT), np.float32) @ plane
        part /= np.linalg.norm(part, axis=1, keepdims=True)
    return found


def _columns(users: int, items: int, touches: int, links: int = LINKS) -> Iterator[tuple[str, Column]]:
    chance, rng = random.Random(1), np.random.default_rng(1)
    ids = [f"item-{number}" for number in range(items)]
    yield "facts", [msgspec.json.encode(Facts(VERSION, 0, dict.fromkeys(range(PARTITIONS), items)))]
    yield from _catalogue(ids, rng)
    yield from _behaviour(ids, rng, chance, links)
    yield "users", (f"user-{number}".encode() for number in range(users))
    yield "profiles", _again([_profile(ids, touches, chance) for _ in range(DISTINCT)], users)
    yield "manifests", []
    yield "artefacts", []


def _catalogue(ids: Sequence[str], rng: np.random.Generator) -> Iterator[tuple[str, Column]]:
    size = len(ids)
    kinds = np.zeros((size, CATEGORIES_LOOKED_AT), np.int32)
    kinds[:, 0] = np.arange(size) % KINDS + 1
    yield "live", np.ones(size, np.bool_)
    yield "available", np.ones(size, np.bool_)
    yield "tie", np.array([crc32(one.encode()) for one in ids], np.uint32)
    yield "category_ids", kinds
    yield "published_ms", NOW - rng.integers(0, 730 * DAY_MS, size)
    yield "expires_ms", np.full(size, NEVER_MS)
    yield "text_hashes", rng.integers(0, 255, (size, TEXT_HASH_BYTES)).astype(np.uint8)
    yield "categories", [f"genre-{number}".encode() for number in range(KINDS)]
    yield "by_category", [np.arange(number, size, KINDS, "<i4").tobytes() for number in range(KINDS)]
    yield "ids", (one.encode() for one in ids)
    yield "items", (_item(number, one) for number, one in enumerate(ids))


def _item(number: int, item_id: str) -> bytes:
    kind = f"genre-{number % KINDS}"
    shelf = crc32(item_id.encode()) % SHELVES
    title = f"The Dark River of {number}"
    return msgspec.msgpack.encode(Item(item_id=item_id, title=title, categories=[kind], attributes={"shelf": shelf}))


def _behaviour(
    ids: Sequence[str], rng: np.random.Generator, chance: random.Random, links: int
) -> Iterator[tuple[str, Column]]:
    size = len(ids)
    yield "first_ms", np.full(size, NOW - DAY_MS)
    yield "last_ms", np.full(size, NOW)
    for name, count in (("popularity", len(POPULARITY_HALF_LIVES_DAYS)), ("stages", len(STAGES))):
        for at in range(count):
            yield f"{name}-{at}", rng.standard_normal(size) + NOW / DAY_MS / 400
    yield "shares", _again([_shares(ids, chance) for _ in range(DISTINCT)], size)
    for name in ("successors", "predecessors"):
        linked = rng.integers(0, size, (DISTINCT, links)).astype("<i4")
        yield name, _again([np.stack([row, np.full(links, ONCE, "<i4")], 1).tobytes() for row in linked], size)


def _shares(ids: Sequence[str], chance: random.Random) -> bytes:
    def share(number: int) -> WrittenShare:
        before = {chance.choice(ids): ONCE for _ in range(BEFORE)}
        stages = [1.0] * len(STAGES)
        counts = [1.5] * len(POPULARITY_HALF_LIVES_DAYS)
        return written(ItemSignals(number, NOW - DAY_MS, NOW, counts, stages, before))

    return pack({partition: share(partition) for partition in range(PARTITIONS)})


def _profile(ids: Sequence[str], touches: int, chance: random.Random) -> bytes:
    return pack(
        Profile(
            tuple(Touch(NOW + at, f"event-{at}-{at}", chance.choice(ids), "click", None, at) for at in range(touches)),
            touches,
        )
    )


def _again(some: Sequence[bytes], count: int) -> Iterator[bytes]:
    return islice(cycle(some), count)

"""How fast a replica starts from its snapshot, beside reading the same records, and what writing one costs requests.

    python -m bench.snapshot [THOUSANDS]

As many users as items, THOUSANDS of each (10): profiles of 20 interactions, vectors of 384, signals of four
partitions with 12 predecessors each. No Kafka: `read` is the time to apply the records alone, so reading the topics
takes longer than that. A task that wants a turn each millisecond is asked how late it got it while a snapshot is
taken and written; `idle` is the same with nothing else to do.
"""

import asyncio
import gc
import random
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import msgspec
import numpy as np

from bench.deployment import say
from bench.report import Figure, percentile, report
from domain.codecs import pack
from domain.items import Item
from domain.log_reader import LogRecord
from domain.profile import Profile, Touch
from domain.settings import ServingSettings, load_settings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, USER_PROFILES
from embeddings.faiss_index import FaissIndex
from embeddings.item_embedding import from_vector
from learning.signals import ONCE, ItemSignals
from learning.signals_record import pack_share
from serving.read_model import ReadModel
from serving.snapshot.place import Origin, Place
from serving.snapshot.snapshots import Snapshots

D, TOUCHES, PARTITIONS, BEFORE = 384, 20, 4, 12
NOW = 1_795_326_060_000


def main() -> None:
    """Measures and reports."""
    count = 1000 * int(sys.argv[1] if len(sys.argv) > 1 else 10)
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as folder:
        settings = load_settings(ServingSettings, snapshot_path=folder)
        model = ReadModel(settings, FaissIndex(D))
        say(f"applying the records of {count:,} users and {count:,} items")
        read_s = applied(model, count)
        gc.collect()
        write_s, stall_s, late, idle = asyncio.run(written(settings, model))
        size = sum(one.stat().st_size for one in Path(folder).rglob("*"))
        del model
        gc.collect()
        load_s = asyncio.run(loaded(settings))
    report(
        "snapshot",
        [
            Figure(f"start_{count // 1000}k_users_and_items", load_s, "s", "read", read_s),
            Figure("bytes_per_user_and_item", size / count, "B"),
            Figure("written_in", write_s, "s"),
            Figure("longest_step_of_taking_hold", 1000 * stall_s, "ms"),
            Figure("late_p99_while_writing", percentile(late, 0.99), "ms", "idle", percentile(idle, 0.99)),
            Figure("late_most_while_writing", max(late), "ms", "idle", max(idle)),
        ],
        "python -m bench.snapshot",
    )


def applied(model: ReadModel, count: int) -> float:
    """Feeds the read model and returns the seconds that it took to apply, the making of the records left out."""
    took = 0.0
    for start in range(0, count, 5000):
        records = list(records_of(model, start, min(count, start + 5000), count))
        began = perf_counter()
        model.apply(records)
        took += perf_counter() - began
    return took


def records_of(model: ReadModel, start: int, end: int, count: int) -> Iterator[LogRecord]:
    """Makes up the records of some users and items."""
    chance = random.Random(start)
    vectors = np.random.default_rng(start).standard_normal((end - start, D)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)

    def record(topic: str, partition: int, key: str, value: bytes) -> LogRecord:
        return LogRecord(model.settings.topic(topic), partition, 0, NOW, key.encode(), value)

    for number, vector in zip(range(start, end), vectors, strict=True):
        key = f"item-{number}"
        item = Item(item_id=key, title=f"The Dark River of {number}", categories=["drama", f"genre-{number % 40}"])
        yield record(ITEMS, 0, key, msgspec.json.encode(item))
        yield record(ITEM_EMBEDDINGS, 0, key, pack(from_vector("v", "text", vector)))
        for partition in range(PARTITIONS):
            before = {f"item-{chance.randrange(count)}": ONCE for _ in range(BEFORE)}
            share = ItemSignals(number, NOW, NOW + number, [1.0 + number] * 5, [1.0] * 10, before)
            yield record(ITEM_SIGNALS, partition, key, pack_share(share))
        touches = tuple(
            Touch(NOW + at, f"event-{number}-{at}", f"item-{chance.randrange(count)}", "click", None, at)
            for at in range(TOUCHES)
        )
        yield record(USER_PROFILES, number % PARTITIONS, f"user-{number}", pack(Profile(touches, number)))


async def written(settings: ServingSettings, model: ReadModel) -> tuple[float, float, list[float], list[float]]:
    """Writes a snapshot; returns how long, the longest step, and how late others were meanwhile and otherwise."""
    idle: list[float] = []
    watching = asyncio.create_task(watched(idle))
    await asyncio.sleep(2)
    watching.cancel()
    late: list[float] = []
    watching = asyncio.create_task(watched(late))
    snapshots = Snapshots(settings, model, lambda: NOW)
    began = perf_counter()
    stall_s = await snapshots.save(Place(Origin("", {}), {}, NOW))
    while snapshots.is_writing:
        await asyncio.sleep(0.01)
    took = perf_counter() - began
    watching.cancel()
    return took, stall_s, late, idle


async def watched(late: list[float]) -> None:
    """Asks for a turn each millisecond and notes how late it came, in milliseconds."""
    while True:
        began = perf_counter()
        await asyncio.sleep(0.001)
        late.append(1000 * (perf_counter() - began) - 1)


async def loaded(settings: ServingSettings) -> float:
    """Starts from the snapshot and returns the seconds that it took."""
    model = ReadModel(settings, FaissIndex(D))
    began = perf_counter()
    if await Snapshots(settings, model, lambda: NOW).load() is None:
        raise SystemExit("the snapshot was not taken")
    return perf_counter() - began


if __name__ == "__main__":
    main()

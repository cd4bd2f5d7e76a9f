"""How fast a replica of a million users and a million items starts from its snapshot, and what memory it then takes.

    python -m bench.start [THOUSANDS]

A made-up snapshot (bench/made_model.py) is loaded by a process of its own, beside `read_whole`: the same files merely
read from the page cache and hashed by one thread, as `sha256sum` does. Memory is counted when it has started and after
REQUESTS recommendations to different users: `own` is the process's alone, `mapped` is pages of the snapshot's files,
which other processes share and which the kernel takes back when it needs room.
"""

import asyncio
import gc
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from bench.deployment import say
from bench.made_model import NOW, VERSION, D, write
from bench.memory import memory
from bench.report import Figure, percentile, report
from domain.settings import ServingSettings, load_settings
from embeddings.faiss_index import FaissIndex
from embeddings.model_files import sha256_of
from serving.features import NAMES
from serving.pipeline import recommend
from serving.query import stored_query
from serving.read_model import ReadModel, summary
from serving.snapshot.snapshots import Snapshots

REQUESTS, SLATE = 1_000, 10
GIB = 2**30


def main() -> None:
    """Measures and reports."""
    if sys.argv[1:2] == ["load"]:
        print(json.dumps(_loaded(Path(sys.argv[2]), int(sys.argv[3]))))
        return
    thousands = int(sys.argv[1] if len(sys.argv) > 1 else 1000)
    count = 1000 * thousands
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as folder:
        say(f"making up a snapshot of {count:,} users and {count:,} items")
        size = write(load_settings(ServingSettings, snapshot_path=folder), count, count)
        say("starting from it")
        command = [sys.executable, "-m", "bench.start", "load", folder, str(count)]
        told = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        began = perf_counter()
        for file in (one for one in Path(folder).rglob("*") if one.is_file()):
            sha256_of(file)
        hashed_s = perf_counter() - began
    name = f"{thousands}k_users_and_items"
    report(
        "start",
        [
            Figure(f"start_{name}", told["seconds"], "s", "read_whole", hashed_s),
            Figure(f"snapshot_{name}", size / GIB, "GiB"),
            Figure("own_memory_at_start", told["own"] / GIB, "GiB", "limit", 6),
            Figure("own_memory_after_requests", told["own_after"] / GIB, "GiB", "limit", 6),
            Figure("mapped_memory_after_requests", told["mapped_after"] / GIB, "GiB", "snapshot", size / GIB),
            Figure("own_bytes_per_user_and_item", told["own_after"] / count, "B", "snapshot", size / count),
            Figure("first_request", told["first"], "ms"),
            Figure("recommend_p50", told["p50"], "ms"),
            Figure("recommend_p99", told["p99"], "ms"),
        ],
        "python -m bench.start",
    )


def _loaded(folder: Path, count: int) -> dict[str, float]:
    settings = load_settings(ServingSettings, snapshot_path=str(folder))
    model = ReadModel(settings, FaissIndex(D, settings.exact_index_below), VERSION, features=NAMES)
    began = perf_counter()
    if asyncio.run(Snapshots(settings, model, lambda: NOW).load()) is None:
        raise SystemExit("the snapshot was not taken")
    seconds = perf_counter() - began
    held = summary(model)
    if held != {"items": count, "vectors": count, "profiles": count}:
        raise SystemExit(f"it holds {held}")
    gc.collect()
    own, _ = memory()
    took = []
    for at in range(REQUESTS):
        asked = perf_counter()
        recommend(stored_query(model, f"user-{at * 7919 % count}", SLATE, NOW))
        took.append(1000 * (perf_counter() - asked))
    own_after, mapped_after = memory()
    return {
        "seconds": seconds,
        "own": own,
        "own_after": own_after,
        "mapped_after": mapped_after,
        "first": took[0],
        "p50": percentile(took[1:], 0.5),
        "p99": percentile(took[1:], 0.99),
    }


if __name__ == "__main__":
    main()

"""How well and how fast the index finds the nearest 100 of 10,000, 100,000 and a million items, beside exact search.

    python -m bench.retrieval [COUNT ...]
    python -m bench.retrieval --table [COUNT]

Vectors: bench/vectors.py, real ones of titles and blends of them. Queries are blends that no item is, as a user's
interests are, asked one at a time. `exact` is NumPy on one core: all products with the query, and the best of them.
Filters allow a share of the items, drawn by lot. `while_changing`: another thread adds and removes items meanwhile.
With --table, index kinds of FAISS are compared instead: docs/retrieval.md keeps what it printed.
"""

import gc
import sys
import threading
from collections.abc import Callable
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from bench import index_kinds
from bench.deployment import say
from bench.memory import memory
from bench.report import Figure, percentile, report
from bench.vectors import Vectors, blended, blends, real
from embeddings.faiss_index import FaissIndex

COUNTS = (10_000, 100_000, 1_000_000)
K, QUERIES, EXACT_QUERIES = 100, 200, 20
SHARES = {"50pct": 0.5, "10pct": 0.1, "1pct": 0.01, "01pct": 0.001}
CHANGES, CHANGING_S = 100, 3.0
Found = NDArray[np.int64]


def main() -> None:
    """Measures and reports."""
    arguments = sys.argv[1:]
    if arguments[:1] == ["--table"]:
        print(index_kinds.table(blended(real(), int(arguments[1]) if arguments[1:] else 100_000)))
        return
    some, figures = real(), []
    for count in [int(one) for one in arguments] or COUNTS:
        figures += _measured(some, count)
        gc.collect()
    report("retrieval", figures, "python -m bench.retrieval")


def _measured(some: Vectors, count: int) -> list[Figure]:
    name = f"{count // 1000}k" if count < 1_000_000 else f"{count // 1_000_000}m"
    say(f"{count:,} items")
    vectors, queries = blended(some, count), blends(some, QUERIES, seed=7)
    before, _ = memory()
    index, began = FaissIndex(vectors.shape[1]), perf_counter()
    index.add(np.arange(count), vectors)
    index.wait()
    build_s = perf_counter() - began
    bytes_each = (memory()[0] - before) / count
    exact_ms = _timed(queries[:EXACT_QUERIES], lambda query: _exact(vectors, query, None))[1]
    figures = _searched(name, index, vectors, queries, exact_ms)
    figures += [
        Figure(f"build_s_{name}", build_s, "s"),
        Figure(f"bytes_per_item_{name}", bytes_each, "B", "float32_vector", 4 * vectors.shape[1]),
    ]
    return figures + _while_changing(name, index, some, queries, exact_ms)


def _searched(name: str, index: FaissIndex, vectors: Vectors, queries: Vectors, exact_ms: list[float]) -> list[Figure]:
    figures = []
    chance = np.random.default_rng(3)
    masks = {f"{name}_allowed_{one}": chance.random(len(vectors)) < share for one, share in SHARES.items()}
    for label, allowed in {name: None, **masks}.items():
        found, took_ms = _timed(queries, lambda query, allowed=allowed: index.search(query[None], K, allowed)[1][0])
        truth = [_exact(vectors, query, allowed) for query in queries]
        figures += [
            Figure(f"recall_at_100_{label}", _recall(truth, found), ""),
            Figure(f"search_p50_{label}", percentile(took_ms, 0.5), "ms", "exact", percentile(exact_ms, 0.5)),
            Figure(f"search_p99_{label}", percentile(took_ms, 0.99), "ms", "exact", percentile(exact_ms, 0.99)),
        ]
    return figures


def _while_changing(
    name: str, index: FaissIndex, some: Vectors, queries: Vectors, exact_ms: list[float]
) -> list[Figure]:
    """Lets another thread add and remove CHANGES items at a time; each of them must be found, or no more be found."""
    first, stop, missed = len(index), threading.Event(), []

    def change() -> None:
        turn = 0
        while not stop.is_set():
            added = blends(some, CHANGES, seed=1000 + turn)
            ids = np.arange(first + turn * CHANGES, first + (turn + 1) * CHANGES)
            index.add(ids, added)
            missed.append(float((index.search(added, 1)[1][:, 0] != ids).mean()))
            index.remove(ids[: CHANGES // 2])
            turn += 1
            stop.wait(0.01)

    changing = threading.Thread(target=change)
    changing.start()
    took_ms: list[float] = []
    until = perf_counter() + CHANGING_S
    while perf_counter() < until:
        took_ms += _timed(queries, lambda query: index.search(query[None], K)[1][0])[1]
    stop.set()
    changing.join()
    index.wait()
    return [
        Figure(f"search_p50_{name}_while_changing", percentile(took_ms, 0.5), "ms", "exact", percentile(exact_ms, 0.5)),
        Figure(
            f"search_p99_{name}_while_changing", percentile(took_ms, 0.99), "ms", "exact", percentile(exact_ms, 0.99)
        ),
        Figure(f"added_and_not_found_{name}", float(np.mean(missed)), ""),
    ]


def _timed(queries: Vectors, search: Callable[[Vectors], Found]) -> tuple[list[Found], list[float]]:
    for query in queries[:5]:
        search(query)
    found, took_ms = [], []
    for query in queries:
        began = perf_counter()
        found.append(search(query))
        took_ms.append(1000 * (perf_counter() - began))
    return found, took_ms


def _exact(vectors: Vectors, query: Vectors, allowed: NDArray[np.bool_] | None) -> Found:
    similarities = vectors @ query
    if allowed is not None:
        similarities[~allowed] = -np.inf
    best: Found = np.argpartition(-similarities, K)[:K]
    return best[np.isfinite(similarities[best])]


def _recall(truth: list[Found], found: list[Found]) -> float:
    hits = sum(len(np.intersect1d(one, other)) for one, other in zip(truth, found, strict=True))
    return hits / sum(map(len, truth))


if __name__ == "__main__":
    main()

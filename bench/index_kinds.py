"""Kinds of FAISS index side by side, each with exact re-ranking of what it found: the table in docs/retrieval.md."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import faiss
import numpy as np
from numpy.typing import NDArray

from bench.deployment import say
from bench.report import percentile
from bench.vectors import Vectors, blends

K, QUERIES = 100, 100
PROBES = (8, 16, 32, 64, 128)
EF = (128, 256, 512, 1024)
ENOUGH = 0.98
"""The recall at which kinds are compared: for each, the cheapest setting that reaches it."""


@dataclass(frozen=True)
class Kind:
    """An index kind, what a search in it can be told, and how many of its finds are ranked again."""

    name: str
    make: Callable[[int, int], faiss.Index]
    settings: tuple[int, ...]
    again: tuple[int, ...]
    bytes_each: Callable[[int], float]


def table(vectors: Vectors) -> str:
    """Returns a table in Markdown: build time, bytes, and time of a search at the cheapest setting that is enough."""
    queries = blends(vectors[:20_000], QUERIES, seed=11)
    _, truth = faiss.knn(queries, vectors, K, metric=faiss.METRIC_INNER_PRODUCT)
    lines = [
        f"{len(vectors):,} vectors of {vectors.shape[1]}, recall@{K} of at least {ENOUGH} after exact re-ranking:",
        "",
        "| kind | build s | bytes | setting, ranked again | recall | p50 ms | p99 ms |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for kind in _kinds():
        say(kind.name)
        lines.append(_line(kind, vectors, queries, truth))
    return "\n".join(lines)


def _line(kind: Kind, vectors: Vectors, queries: Vectors, truth: NDArray[np.int64]) -> str:
    began = perf_counter()
    index = _built(kind, vectors)
    build_s = perf_counter() - began
    faiss.omp_set_num_threads(1)
    tried = list(_tried(kind, index, vectors, queries, truth))
    enough = [one for one in tried if one[1] >= ENOUGH] or [max(tried, key=lambda one: one[1])]
    setting, recall, p50, p99 = min(enough, key=lambda one: one[2])
    size = kind.bytes_each(vectors.shape[1])
    return f"| {kind.name} | {build_s:.1f} | {size:,.0f} | {setting} | {recall:.3f} | {p50:.2f} | {p99:.2f} |"


def _built(kind: Kind, vectors: Vectors) -> faiss.Index:
    count, dimension = vectors.shape
    index = kind.make(dimension, max(1, int(2 * math.sqrt(count))))
    if isinstance(index, faiss.IndexIVF):
        index.cp.spherical, index.cp.niter, index.cp.min_points_per_centroid = True, 4, 1
        sample = np.random.default_rng(0).choice(count, min(count, 32 * index.nlist), replace=False)
        index.train(vectors[np.sort(sample)])  # type: ignore[call-arg]
    elif not index.is_trained:
        index.train(vectors[:: max(1, count // 20_000)])  # type: ignore[call-arg]
    index.add(vectors)  # type: ignore[call-arg]
    return index


def _tried(
    kind: Kind, index: faiss.Index, vectors: Vectors, queries: Vectors, truth: NDArray[np.int64]
) -> Iterator[tuple[str, float, float, float]]:
    for setting in kind.settings:
        for again in kind.again:
            took_ms, hits = [], 0
            for query, right in zip(queries, truth, strict=True):
                began = perf_counter()
                rows = _searched(index, query, setting, again)
                best = rows[np.argsort(-(vectors[rows] @ query))[:K]]
                took_ms.append(1000 * (perf_counter() - began))
                hits += len(np.intersect1d(best, right))
            told = f"{setting}, {again}" if setting else f"{again}"
            yield told, hits / truth.size, percentile(took_ms, 0.5), percentile(took_ms, 0.99)


def _searched(index: faiss.Index, query: Vectors, setting: int, count: int) -> NDArray[np.int64]:
    parameters: faiss.SearchParameters | None = None
    if isinstance(index, faiss.IndexIVF):
        parameters = faiss.SearchParametersIVF(nprobe=setting)  # type: ignore[call-arg]
    elif setting:
        parameters = faiss.SearchParametersHNSW(efSearch=setting)  # type: ignore[attr-defined]
    found: NDArray[np.int64] = index.search(query[None], count, params=parameters)[1][0]  # type: ignore[call-arg]
    return found[found >= 0]


def _kinds() -> Iterator[Kind]:
    metric, few, many = faiss.METRIC_INNER_PRODUCT, (K + 16,), (4 * K, 6 * K + 16)
    scalar = faiss.ScalarQuantizer
    yield Kind("flat, float32", lambda d, _: faiss.IndexFlatIP(d), (0,), (K,), lambda d: 4 * d)
    for name, quantiser, size in (("float16", scalar.QT_fp16, 2.0), ("8 bits", scalar.QT_8bit, 1.0)):
        yield Kind(f"IVF, {name}", _ivf(quantiser), PROBES, few, lambda d, size=size: size * d + 8)
    yield Kind("IVF, 4 bits", _ivf(scalar.QT_4bit), PROBES, (K + 16, 2 * K), lambda d: d / 2 + 8)
    for parts in (96, 192):
        yield Kind(
            f"IVF, product quantiser, {parts} x 4 bits",
            lambda d, lists, parts=parts: faiss.IndexIVFPQFastScan(faiss.IndexFlatIP(d), d, lists, parts, 4, metric),
            PROBES,
            many,
            lambda _, parts=parts: parts / 2 + 8,
        )
    yield Kind(
        "IVF, RaBitQ, 1 bit",
        lambda d, lists: faiss.IndexIVFRaBitQFastScan(faiss.IndexFlatIP(d), d, lists, metric),
        PROBES,
        many,
        lambda d: d / 8 + 16,
    )
    yield Kind(
        "HNSW 32, 8 bits",
        lambda d, _: faiss.IndexHNSWSQ(d, scalar.QT_8bit, 32, metric),
        EF,
        few,
        lambda d: d + 64 * 4 + 16,
    )


def _ivf(quantiser: int) -> Callable[[int, int], faiss.Index]:
    def make(dimension: int, lists: int) -> faiss.Index:
        flat = faiss.IndexFlatIP(dimension)
        return faiss.IndexIVFScalarQuantizer(flat, dimension, lists, quantiser, faiss.METRIC_INNER_PRODUCT, False)

    return make

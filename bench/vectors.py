"""Item vectors by the million: texts embedded for real, and blends of those for the rest.

TITLES made-up film titles (bench/workload.py) go through the text encoder once and are kept in bench/results.
Every further vector is a real one moved half way towards what a neighbouring title would be: a share of another
title that has words in common with nothing but chance, and a little of every direction, of unit length again.
So there are as many neighbourhoods as titles, each of some dozens of items at a million, unlike a cloud of random
points, which no index can cut into lists, and unlike copies, which every index finds.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.deployment import say
from bench.report import RESULTS
from bench.workload import titles
from embeddings.transformer import TransformerEncoder

TITLES = 20_000
BLEND, NOISE = 0.5, 0.3
"""Lengths of what is added to a vector of length 1: a part of another title's, and of a random direction."""

PIECE = 50_000
Vectors = NDArray[np.float32]


def real(threads: int = 2) -> Vectors:
    """Returns the vectors of TITLES distinct titles, (TITLES, D) float32, unit rows; a minute the first time."""
    encoder = TransformerEncoder(threads=threads)
    kept = RESULTS / f"titles-{encoder.version.replace('/', '-')}-{TITLES}.npy"
    if not kept.exists():
        say(f"embedding {TITLES:,} titles")
        texts = list(dict.fromkeys(titles(TITLES * 5 // 4)))[:TITLES]
        RESULTS.mkdir(exist_ok=True)
        _keep(kept, encoder.encode(texts).astype(np.float16))
    vectors = np.load(kept).astype(np.float32)
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)


def blended(some: Vectors, count: int, seed: int = 1) -> Vectors:
    """Returns (count, D): the given vectors, as far as they go, then blends of them, always the same for a seed."""
    found = np.empty((count, some.shape[1]), np.float32)
    found[: len(some)] = some[:count]
    for start in range(len(some), count, PIECE):
        end = min(count, start + PIECE)
        found[start:end] = blends(some, end - start, seed + start)
    return found


def blends(some: Vectors, count: int, seed: int) -> Vectors:
    """Returns (count, D) blends of pairs of vectors."""
    chance = np.random.default_rng(seed)
    noise = chance.standard_normal((count, some.shape[1]), np.float32)
    noise *= NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    first, second = chance.integers(0, len(some), (2, count))
    found = some[first] + np.float32(BLEND) * some[second] + noise
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return found


def _keep(path: Path, vectors: NDArray[np.float16]) -> None:
    draft = path.with_suffix(".draft")
    with draft.open("wb") as file:
        np.save(file, vectors)
    draft.replace(path)

"""Texts a second of the text encoder, beside sentence-transformers' own `encode` with the same weights.

    pip install sentence-transformers && python -m bench.embedding

The texts are made up here from lists of words, always the same 1,700, in the manner of film titles with
year and genres: 11 tokens on average. Both sides get the same list and two threads, sentence-transformers
otherwise as it comes (float32, batches of 32). Medians of ROUNDS rounds, taking turns, so that what else the machine
does meets both. `memory` is what a process of each side's own takes after one round, torch and the weights included.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bench.memory import memory
from bench.report import Figure, report
from bench.workload import titles
from embeddings.model_files import default_model
from embeddings.transformer import TransformerEncoder

TEXTS, ROUNDS, SINGLE, THREADS = 1700, 7, 5, 2
MIB = 2**20
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def main() -> None:
    """Measures and reports."""
    if sys.argv[1:2] == ["memory"]:
        _side(sys.argv[2])(titles(TEXTS))
        print(memory()[0])
        return
    try:
        sides = {name: _side(name) for name in ("ours", "theirs")}
    except ImportError:
        print("skipped: nothing to stand beside; run: pip install sentence-transformers", file=sys.stderr)
        return
    texts = titles(TEXTS)
    vectors = {name: encode(texts) for name, encode in sides.items()}  # the first round warms up
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    single_ms: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, encode in sides.items():
            seconds[name].append(_seconds(encode, texts))
            single_ms[name] += [1000 * _seconds(encode, texts[:1]) for _ in range(SINGLE)]
    rates = {name: TEXTS / float(np.median(took)) for name, took in seconds.items()}
    single = {name: float(np.median(took)) for name, took in single_ms.items()}
    held = {name: _memory(name) / MIB for name in sides}
    peer = vectors["theirs"] / np.linalg.norm(vectors["theirs"], axis=1, keepdims=True)
    cosines = (vectors["ours"] * peer).sum(axis=1)
    report(
        "embedding",
        [
            Figure("texts_per_second", rates["ours"], "1/s", "sentence_transformers", rates["theirs"]),
            Figure("one_text_ms", single["ours"], "ms", "sentence_transformers", single["theirs"]),
            Figure("memory", held["ours"], "MiB", "sentence_transformers", held["theirs"]),
            Figure("cosine_mean", float(cosines.mean()), "", None),
            Figure("cosine_least", float(cosines.min()), "", None),
        ],
        "python -m bench.embedding",
    )


def _side(name: str) -> Encode:
    torch.set_num_threads(THREADS)
    if name == "ours":
        return TransformerEncoder(threads=THREADS).encode
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - the peer; nothing else needs it

    theirs = SentenceTransformer(str(default_model()), device="cpu")
    return lambda texts: theirs.encode(list(texts), show_progress_bar=False)


def _memory(name: str) -> int:
    command = [sys.executable, "-m", "bench.embedding", "memory", name]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _seconds(encode: Encode, texts: Sequence[str]) -> float:
    start = time.perf_counter()
    encode(texts)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

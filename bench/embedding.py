"""Texts a second of the text encoder, beside sentence-transformers' own `encode` with the same weights.

    pip install sentence-transformers && python -m bench.embedding

The texts are made up here from lists of words, always the same 1,700, in the manner of film titles with
year and genres: 11 tokens on average. Both sides get the same list and two threads, sentence-transformers
otherwise as it comes (float32, batches of 32). Best of five rounds, taking turns.
"""

import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from bench.report import Figure, report
from bench.workload import titles
from embeddings.model_files import default_model
from embeddings.transformer import TransformerEncoder

TEXTS, ROUNDS, THREADS = 1700, 5, 2


def main() -> None:
    """Measures and reports."""
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - the peer; nothing else needs it
    except ImportError:
        print("skipped: nothing to stand beside; run: pip install sentence-transformers", file=sys.stderr)
        return
    torch.set_num_threads(THREADS)
    texts = titles(TEXTS)
    ours = TransformerEncoder(threads=THREADS)
    theirs = SentenceTransformer(str(default_model()), device="cpu")
    sides: dict[str, Callable[[Sequence[str]], NDArray[np.float32]]] = {
        "ours": ours.encode,
        "theirs": lambda some: theirs.encode(list(some), show_progress_bar=False),
    }
    vectors = {name: encode(texts) for name, encode in sides.items()}  # the first round warms up
    rates = {name: 0.0 for name in sides}
    single_ms = {name: 1e9 for name in sides}
    for _ in range(ROUNDS):
        for name, encode in sides.items():
            rates[name] = max(rates[name], TEXTS / _seconds(encode, texts))
            single_ms[name] = min(single_ms[name], _seconds(encode, texts[:1]) * 1000)
    peer = vectors["theirs"] / np.linalg.norm(vectors["theirs"], axis=1, keepdims=True)
    cosines = (vectors["ours"] * peer).sum(axis=1)
    report(
        "embedding",
        [
            Figure("texts_per_second", rates["ours"], "1/s", "sentence_transformers", rates["theirs"]),
            Figure("one_text_ms", single_ms["ours"], "ms", "sentence_transformers", single_ms["theirs"]),
            Figure("cosine_mean", float(cosines.mean()), "", None),
            Figure("cosine_least", float(cosines.min()), "", None),
        ],
        "python -m bench.embedding",
    )


def _seconds(encode: Callable[[Sequence[str]], NDArray[np.float32]], texts: Sequence[str]) -> float:
    start = time.perf_counter()
    encode(texts)
    return time.perf_counter() - start


if __name__ == "__main__":
    main()

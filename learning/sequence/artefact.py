"""A trained sequence model as bytes: what `models` carries from who trains to who serves.

safetensors, with one metadata entry that holds a JSON document: format, configuration, item ids, facts about
the training, and a digest over all of it and the weights. Half precision: scores move by less than a thousandth.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from domain.errors import FreshetError
from learning.sequence.config import SequenceConfig

FORMAT = 1
KEY = "freshet"


class ModelUnusable(FreshetError):
    """A trained model is damaged, truncated, or of another format or width. Operator: train it again."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What is known about a training.

    Attributes:
        ndcg: validation nDCG@10 that the number of steps was picked by; None without validation.
        events: interactions that were trained on.
        from_ms: event time of the oldest.
        until_ms: event time of the newest.
        steps: gradient steps, those of earlier artefacts included.
        source: what the caller says of where the events lie, such as offsets by partition.
    """

    ndcg: float | None
    events: int
    from_ms: int
    until_ms: int
    steps: int
    source: dict[str, Any] = {}


class Artefact(msgspec.Struct, frozen=True):
    """A trained model.

    Attributes:
        config: its shape and how it was trained.
        item_ids: the items with a residual of their own, in the order of the rows of `weights["residual"]`.
        weights: name to float array; the names are those of `SequenceModel`.
        facts: about the training.
    """

    config: SequenceConfig
    item_ids: list[str]
    weights: Mapping[str, NDArray[np.float32]]
    facts: Facts

    @property
    def text_width(self) -> int:
        """D, the width of the text embeddings it was trained on."""
        return int(self.weights["text"].shape[0])

    @property
    def version(self) -> str:
        """Twelve hexadecimal digits of the digest: another as soon as anything differs."""
        return _digest(self._halves(), self._document())[:12]

    def told(self, source: Mapping[str, Any]) -> "Artefact":
        """Returns the same model, which says of where its events lay what the caller knows of it."""
        return msgspec.structs.replace(self, facts=msgspec.structs.replace(self.facts, source=dict(source)))

    def to_bytes(self) -> bytes:
        """Returns the artefact as bytes; the same artefact gives the same bytes."""
        halves, document = self._halves(), self._document()
        header = {"format": FORMAT, "sha256": _digest(halves, document), "document": document}
        return save(halves, {KEY: msgspec.json.encode(header).decode()})

    def _halves(self) -> dict[str, NDArray[np.float16]]:
        limit = float(np.finfo(np.float16).max)
        return {
            name: np.ascontiguousarray(np.clip(array, -limit, limit), np.float16)
            for name, array in sorted(self.weights.items())
        }

    def _document(self) -> str:
        return msgspec.json.encode([self.config, self.item_ids, self.facts], order="deterministic").decode()


def read_artefact(raw: bytes) -> Artefact:
    """Returns the artefact with float32 weights.

    Raises:
        ModelUnusable: truncated, damaged, of another format, or no artefact at all.
    """
    try:
        header = msgspec.json.decode(_metadata(raw)[KEY])
        if header["format"] != FORMAT:
            raise ModelUnusable(
                f"sequence model of format {header['format']}, this program reads {FORMAT}: train again"
            )
        halves = load(raw)
        if _digest(halves, header["document"]) != header["sha256"]:
            raise ModelUnusable("sequence model is damaged: its digest differs; train again")
        config, item_ids, facts = msgspec.json.decode(header["document"], type=tuple[SequenceConfig, list[str], Facts])
    except (SafetensorError, msgspec.MsgspecError, KeyError, TypeError, ValueError) as error:
        raise ModelUnusable(f"no sequence model, or a damaged one ({error}): train again") from error
    return Artefact(config, item_ids, {name: half.astype(np.float32) for name, half in halves.items()}, facts)


def _metadata(raw: bytes) -> dict[str, str]:
    """Reads the metadata of safetensors bytes: 8 bytes of length, then JSON with an entry `__metadata__`."""
    size = int.from_bytes(raw[:8], "little")
    if not 0 < size <= len(raw) - 8:
        raise ValueError("truncated")
    metadata: dict[str, str] = msgspec.json.decode(raw[8 : 8 + size])["__metadata__"]
    return metadata


def _digest(halves: Mapping[str, NDArray[Any]], document: str) -> str:
    digest = hashlib.sha256(document.encode())
    for name, array in sorted(halves.items()):
        digest.update(f"\0{name}\0{array.dtype}\0{array.shape}\0".encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()

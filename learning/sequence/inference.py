"""The sequence model as replicas run it: NumPy only, one user at a time, well under a millisecond."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from domain.errors import DimensionMismatch
from learning.sequence.artefact import Artefact, ModelUnusable, read_artefact
from learning.sequence.clocks import gap_kind, log_age

Floats = NDArray[np.float32]

NORM_EPSILON = np.float32(1e-5)
"""As in torch's LayerNorm."""


class SequenceEncoder:
    """Turns items into vectors, and what a user touched last into the vector that says what comes next.

    The score of an item is the inner product of the two; what makes it popular is one of its dimensions.

    Attributes:
        version: of the artefact.
        width: M, of the vectors.
        length: the newest interactions that are looked at.
    """

    def __init__(self, artefact: Artefact) -> None:
        config = artefact.config
        self._weights = {name: np.ascontiguousarray(array, np.float32) for name, array in artefact.weights.items()}
        self._rows = {item_id: row for row, item_id in enumerate(artefact.item_ids)}
        self._heads = config.heads
        self._blocks = [_Block(self._weights, f"blocks.{number}.") for number in range(config.layers)]
        self.version, self.width, self.length = artefact.version, config.width + 1, config.length

    @classmethod
    def from_bytes(cls, raw: bytes) -> "SequenceEncoder":
        """Returns the encoder of an artefact's bytes.

        Raises:
            ModelUnusable: the bytes are damaged or of another format.
        """
        try:
            return cls(read_artefact(raw))
        except (KeyError, IndexError) as error:
            raise ModelUnusable(f"sequence model lacks {error}: train again") from error

    def item_vectors(self, item_ids: Sequence[str], texts: Floats) -> Floats:
        """Returns (N, M) float32: the projected text, plus the item's own residual if training knew it.

        Args:
            item_ids: N ids.
            texts: (N, D) float32 text embeddings in the same order; a zero row for an item without text.

        Raises:
            DimensionMismatch: the texts have another width than those the model was trained on.
        """
        if texts.ndim != 2 or texts.shape[1] != len(self._weights["text"]):
            wanted = len(self._weights["text"])
            raise DimensionMismatch(f"texts of shape {texts.shape}, the sequence model was trained on width {wanted}")
        vectors: Floats = texts.astype(np.float32) @ self._weights["text"]
        known = [(at, self._rows[item_id]) for at, item_id in enumerate(item_ids) if item_id in self._rows]
        if known:
            at, rows = np.array(known).T
            vectors[at] += self._weights["residual"][rows]
        return vectors

    def user_vector(self, items: Floats, times_ms: NDArray[np.int64], now_ms: int) -> Floats:
        """Returns (M,) float32: what the user is looking for now; zeros for a user without interactions.

        Args:
            items: (T, M) float32, the vectors of the user's newest interactions, oldest first; only the
                last `length` count.
            times_ms: (T,) int64, when each was touched.
            now_ms: the moment of the request.
        """
        if not len(items):
            return np.zeros(self.width, np.float32)
        items, times_ms = items[-self.length :], np.asarray(times_ms[-self.length :], np.int64)
        weights = self._weights
        moments = np.append(times_ms[1:], now_ms)
        x = (
            items[:, :-1] @ weights["enter.weight"].T
            + weights["enter.bias"]
            + weights["gap"][gap_kind(moments - times_ms)]
        )
        ages = log_age(moments[:, None] - times_ms)
        for number, block in enumerate(self._blocks, 1):
            x = block(x, ages, self._heads, last=number == len(self._blocks))
        user = _normalised(x[-1], weights["norm.weight"], weights["norm.bias"]) + weights["stage"][len(items) - 1]
        return np.append(weights["leave.weight"] @ user + weights["leave.bias"], np.float32(1))


class _Block:
    """Attention and feed-forward: `SequenceModel.Block` in NumPy."""

    def __init__(self, weights: dict[str, Floats], prefix: str) -> None:
        self._w = {name.removeprefix(prefix): array for name, array in weights.items() if name.startswith(prefix)}

    def __call__(self, x: Floats, ages: Floats, heads: int, last: bool) -> Floats:
        """Returns (T, width), or with `last` (1, width): what the newest interaction becomes."""
        w, (time, width), asks = self._w, x.shape, 1 if last else x.shape[0]
        normed = _normalised(x, w["norm_attention.weight"], w["norm_attention.bias"])
        mixed = (normed @ w["attend.weight"].T + w["attend.bias"]).reshape(time, 3, heads, width // heads)
        query, key, value = (mixed[:, part].transpose(1, 0, 2) for part in range(3))
        scores = query[:, -asks:] @ key.transpose(0, 2, 1) / np.float32(np.sqrt(width // heads))
        steps = np.arange(time)[-asks:, None] - np.arange(time)
        scores += w["distance"][:, np.maximum(steps, 0)] + ages[-asks:] * w["age"]
        scores[:, steps < 0] = -1e9
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        merged = (scores @ value).transpose(1, 0, 2).reshape(asks, width)
        x = x[-asks:] + merged @ w["merge.weight"].T + w["merge.bias"]
        fed = _normalised(x, w["norm_feed.weight"], w["norm_feed.bias"]) @ w["up.weight"].T + w["up.bias"]
        out: Floats = x + np.maximum(fed, 0) @ w["down.weight"].T + w["down.bias"]
        return out


def _normalised(x: Floats, weight: Floats, bias: Floats) -> Floats:
    centred = x - x.mean(-1, keepdims=True)
    variance = (centred * centred).mean(-1, keepdims=True)
    scaled: Floats = centred / np.sqrt(variance + NORM_EPSILON) * weight + bias
    return scaled

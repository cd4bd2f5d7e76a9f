"""What the rest of Freshet knows of a text model."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class TextEncoder(Protocol):
    """Turns texts into vectors whose cosine says how alike the texts are."""

    @property
    def version(self) -> str:
        """Name and fingerprint of the model: the same on every machine, another as soon as vectors differ."""
        ...

    @property
    def dimension(self) -> int:
        """D, the width of the vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Returns (B, D) float32, unit rows, in the order of the texts. No text: (0, D)."""
        ...

"""Which texts go through a text encoder together, by their lengths in tokens. Knows no model."""

from collections.abc import Sequence

PADDING = 32
"""Padding that a batch may hold, in tokens: about what a pass through the model costs by itself.

Batches whose texts are all equally long need neither padding nor a mask, and where there are many texts most are: with
titles of 11 tokens that alone is a quarter more texts a second."""


def batches(lengths: Sequence[int], most: int) -> list[list[int]]:
    """Returns the places of all lengths, in batches of similar ones, ascending; `most` in a batch."""
    cut: list[list[int]] = []
    padding = 0
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):
        last = cut[-1] if cut else []
        padding += len(last) * (lengths[place] - lengths[last[-1]]) if last else 0
        if not last or len(last) == most or padding > PADDING:
            cut.append([place])
            padding = 0
        else:
            last.append(place)
    return cut

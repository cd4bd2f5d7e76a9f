"""What a snapshot is made of: arrays, and lists of byte strings that are read row by row.

The parts of the read model say what they hold in these, and come back from them; `serving/snapshot` writes
and reads the files.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from domain.errors import SnapshotCorrupt

Column = NDArray[np.generic] | Iterable[bytes]
"""An array, or byte strings, which may be made only while they are written."""


class Ragged:
    """Byte strings by their number. None is cut out, or even read from its file, before it is asked for.

    Never changed. A file that is mapped stays readable when it is removed, and keeps its room on the disk until then.
    """

    __slots__ = ("_block", "_ends")

    def __init__(self, lengths: NDArray[np.int64], block: bytes | mmap | memoryview) -> None:
        """Takes the lengths of the strings and the strings, one after another; a view gives views, which copy nothing.

        Raises:
            SnapshotCorrupt: they do not fit each other.
        """
        self._ends = np.zeros(len(lengths) + 1, np.int64)
        np.cumsum(lengths, out=self._ends[1:])
        self._block: bytes | mmap = block  # type: ignore[assignment] # a view is asked for its parts alone
        if self._ends[-1] != len(block) or (lengths < 0).any():
            raise SnapshotCorrupt(f"lengths that add up to {self._ends[-1]} for {len(block)} bytes")

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, number: int) -> bytes:
        ends = self._ends
        return self._block[ends.item(number) : ends.item(number + 1)]  # mapped memory is quicker cut by whole numbers

    def beginnings(self, numbers: Sequence[int], most: int, first: int) -> list[bytes]:
        """Returns the strings of some numbers, of those above `most` bytes the `first`; empty ones beyond the end."""
        wanted, block = np.minimum(np.array(numbers, np.int64), len(self)), self._block
        starts, ends = self._ends.take(wanted), self._ends.take(wanted + 1, mode="clip")
        ends = np.where(ends - starts > most, starts + first, ends)
        return [block[start:end] for start, end in zip(starts.tolist(), ends.tolist(), strict=True)]

    def __iter__(self) -> Iterator[bytes]:
        block, start = self._block, 0
        for end in self._ends[1:].tolist():
            yield block[start:end]
            start = end

    def texts(self) -> list[str]:
        """Returns them all as text; where all is ASCII, as ids mostly are, decoded at once."""
        whole = self._block[:]
        if not whole.isascii():
            return [one.decode() for one in self]
        text, ends = whole.decode(), self._ends.tolist()
        return [text[start:end] for start, end in pairwise(ends)]


class Pieces:
    """The strings of several, numbered on: they stay where they are, as memory takes longer to get than to read."""

    def __init__(self) -> None:
        self._pieces: list[Ragged] = []
        self._begins = [0]

    def __len__(self) -> int:
        return self._begins[-1]

    def add(self, piece: Ragged) -> None:
        """Takes strings behind those that it has."""
        self._pieces.append(piece)
        self._begins.append(len(self) + len(piece))

    def __getitem__(self, number: int) -> bytes:
        at = bisect_right(self._begins, number) - 1
        return self._pieces[at][number - self._begins[at]]


NOTHING = Ragged(np.zeros(0, np.int64), b"")
"""No strings at all."""


def by_row(encoded: Callable[[int], bytes], size: int) -> Iterator[bytes]:
    """Returns what a function gives for each row, made only when it is asked for."""
    return (encoded(row) for row in range(size))


class Columns:
    """What was read of a snapshot, by name."""

    def __init__(self, found: Mapping[str, NDArray[np.generic] | Ragged]) -> None:
        self._found = found

    def array(self, name: str) -> NDArray[np.generic]:
        """Returns an array.

        Raises:
            SnapshotCorrupt: there is none of this name.
        """
        found = self._found.get(name)
        if not isinstance(found, np.ndarray):
            raise SnapshotCorrupt(f"no array {name}")
        return found

    def strings(self, name: str) -> Ragged:
        """Returns byte strings; raises what `array` raises."""
        found = self._found.get(name)
        if not isinstance(found, Ragged):
            raise SnapshotCorrupt(f"no strings {name}")
        return found

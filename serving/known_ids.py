"""The rows of the ids in shares: a string is made of an id once, and afterwards its hash tells its row."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.id_table import IdTable
from serving.taken_apart import Predecessors


class KnownIds:
    """Knows the rows of the ids that it has met."""

    def __init__(self, rows_of: Callable[[Sequence[str]], list[int]]) -> None:
        """Takes what gives the rows of ids; `rows_of` is that, for ids that are strings already."""
        self.rows_of = rows_of
        self._table = IdTable()

    def rows(self, found: Predecessors, block: NDArray[Any]) -> NDArray[np.int32]:
        """Returns the rows of predecessors, (L,), that were found in a block of bytes.

        Raises:
            UnicodeDecodeError: an id is no text.
        """
        named = found.hashes
        rows = self._table.find(named)
        new = np.flatnonzero(rows < 0)
        if len(new):
            first = new[np.sort(np.unique(named[new], return_index=True)[1])]
            places = zip(found.starts[first].tolist(), found.lengths[first].tolist(), strict=True)
            ids = [block[at : at + length].tobytes().decode() for at, length in places]
            self._table.add(named[first], np.array(self.rows_of(ids), np.int32))
            rows[new] = self._table.find(named[new])
        return rows

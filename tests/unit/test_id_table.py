"""The table of ids by hash finds what a dictionary finds."""

import msgspec
import numpy as np

from serving.id_table import FIRST_SLOTS, IdTable
from serving.taken_apart import PADDING, predecessors_in


def test_what_was_added_is_found_and_nothing_else_however_the_hashes_crowd():
    chance, table = np.random.default_rng(1), IdTable()
    # Few last bits, so that most share a slot; among them a hash of 0, which looks like an empty slot.
    every = np.unique(np.append(chance.integers(0, 50, 6000) + (chance.integers(0, 2**20, 6000) << 40), 0))
    every = chance.permutation(every).astype(np.uint64)
    known: dict[int, int] = {}
    for part in np.array_split(every[: len(every) // 2], 9):
        table.add(part, np.arange(len(known), len(known) + len(part), dtype=np.int32))
        known |= {one: len(known) + at for at, one in enumerate(part.tolist())}
        assert table.find(every).tolist() == [known.get(one, -1) for one in every.tolist()]
    assert len(known) > FIRST_SLOTS / 2


def test_ids_have_the_same_hash_exactly_if_they_are_the_same_wherever_they_lie():
    ids = ["", "a", "b", "ab", "a" * 7, "a" * 8, "a" * 9, "a" * 16, "a" * 17, *[f"item-{one}" for one in range(5000)]]
    some = [msgspec.msgpack.encode({one: 1, "z": 2}) for one in [*ids, *reversed(ids)]]
    ends = np.cumsum([*map(len, some)])
    block = np.frombuffer(bytearray().join([*some, PADDING]), np.uint8)
    found = predecessors_in(block, np.append(0, ends[:-1]), ends)
    hashes = found.hashes[::2].tolist()
    assert len({*hashes}) == len(ids) and hashes == hashes[::-1] and len({*found.hashes[1::2].tolist()}) == 1

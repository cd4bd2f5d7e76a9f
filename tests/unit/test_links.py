"""Links are what was put last, whenever they are asked for, and a snapshot's stay what they were."""

import random

import numpy as np
import pytest

from serving.columns import Ragged
from serving.links import LinkTable, Neighbours, _decoded, _encoded

ROWS, OTHERS = 5, 100


def told(neighbours: Neighbours) -> dict[int, float]:
    rows, weights = neighbours
    assert len(set(rows.tolist())) == len(rows)
    return {row: weight for row, weight in zip(rows.tolist(), weights.tolist(), strict=True) if weight}


def saved(links: dict[int, float]) -> bytes:
    return _encoded((np.array([*links], np.int64), np.array([*links.values()], np.float32)))


@pytest.mark.parametrize("seed", range(20))
def test_links_are_what_was_put_last_and_a_snapshot_keeps_its_moment(seed: int):
    chance = random.Random(seed)
    known = [{chance.randrange(OTHERS): 1.5 for _ in range(chance.randrange(9))} for _ in range(ROWS - 1)] + [{}]
    raw = [saved(one) for one in known[:-1]]
    table, moments = LinkTable(Ragged(np.array([*map(len, raw)]), b"".join(raw))), []
    for _ in range(600):
        row, other, weight = chance.randrange(ROWS), chance.randrange(OTHERS), float(chance.randrange(4))
        if chance.random() < 0.9:
            table.put(row, other, weight)
            known[row][other] = weight
        else:
            some = {chance.randrange(OTHERS): weight for _ in range(5)}
            table.put_all(row, some)
            known[row] |= some
        if chance.random() < 0.01:
            moments.append((table.frozen(), [dict(one) for one in known]))
        if chance.random() < 0.1:
            assert told(table.of(row)) == {one: other for one, other in known[row].items() if other}
    for encoded, then in moments:
        for row, links in enumerate(then):
            assert told(_decoded(encoded(row))) == {one: other for one, other in links.items() if other}


def test_a_row_without_links_leads_nowhere():
    assert told(LinkTable().of(7)) == {} and LinkTable().frozen()(7) == b""

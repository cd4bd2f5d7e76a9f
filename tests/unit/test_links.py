"""Links are what their changes add up to, whenever they are asked for, and a snapshot's stay what they were."""

import random

import numpy as np
import pytest

from serving.columns import Ragged
from serving.links import Changes, LinkTable, changes_of

ROWS, OTHERS = 5, 100


def told(changes: Changes) -> dict[int, int]:
    weights = dict.fromkeys(changes[:, 0].tolist(), 0)
    for row, by in changes.tolist():
        weights[row] += by
    return {row: weight for row, weight in weights.items() if weight}


def pairs(links: dict[int, int]) -> Changes:
    return np.array([*links.items()], np.int32).reshape(-1, 2)


@pytest.mark.parametrize("seed", range(20))
def test_links_are_what_was_added_and_a_snapshot_keeps_its_moment(seed: int):
    chance = random.Random(seed)
    known = [{chance.randrange(OTHERS): 15 for _ in range(chance.randrange(9))} for _ in range(ROWS - 1)] + [{}]
    raw = [pairs(one).tobytes() for one in known[:-1]]
    table, moments = LinkTable(Ragged(np.array([*map(len, raw)]), b"".join(raw))), []
    for _ in range(600):
        rows = chance.sample(range(ROWS), chance.randrange(1, ROWS))
        by = {chance.randrange(OTHERS): chance.randrange(-3, 4) for _ in rows}
        if len(by) == len(rows) and chance.random() < 0.9:
            table.add_each(rows, pairs(by))
            for row, (other, change) in zip(rows, by.items(), strict=True):
                known[row][other] = known[row].get(other, 0) + change
        else:
            table.add(rows[0], pairs(by))
            for other, change in by.items():
                known[rows[0]][other] = known[rows[0]].get(other, 0) + change
        if chance.random() < 0.01:
            moments.append((table.frozen(), [dict(one) for one in known]))
        if chance.random() < 0.1:
            changes, counts = table.of(rows)
            for row, some in zip(rows, np.split(changes, np.cumsum(counts)[:-1]), strict=True):
                assert told(some) == {one: other for one, other in known[row].items() if other}
    for encoded, then in moments:
        for row, links in enumerate(then):
            assert told(changes_of(encoded(row))) == {one: other for one, other in links.items() if other}


def test_a_link_that_changes_all_the_time_takes_no_more_room():
    table = LinkTable()
    for at in range(20_000):
        table.add(0, pairs({1: 5, 2 + at % 3: 1 - 2 * (at % 2)}))
        if at % 20 == 0:
            table.frozen()  # a snapshot, after which links are copied before they change
    changes, counts = table.of([0])
    assert len(changes) == counts.sum() < 200 and told(changes)[1] == 100_000


def test_a_row_without_links_leads_nowhere():
    changes, counts = LinkTable().of([7])
    assert not len(changes) and counts.tolist() == [0] and LinkTable().frozen()(7) == b""

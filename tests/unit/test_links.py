"""Links are what their changes add up to, whenever they are asked for, and a snapshot's stay what they were."""

import random

import numpy as np
import pytest

from serving.columns import Ragged
from serving.links import CHANGES_SINCE, CHOSEN_FOR_MS, MOST, STRONGEST, Changes, LinkTable, changes_of
from serving.numbering import Numbering

ROWS, OTHERS, NOW = 5, 100, 1_000_000
MANY = 10 * STRONGEST
TIE = np.random.default_rng(3).permutation(MANY).astype(np.uint32)


def of(table: LinkTable, rows: list[int], now_ms: int = NOW) -> tuple[Changes, np.ndarray]:
    return table.of(rows, now_ms, Numbering(MANY), TIE)


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
            changes, counts = of(table, rows)
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
    changes, counts = of(table, [0])
    assert len(changes) == counts.sum() < 200 and told(changes)[1] == 100_000


def test_a_row_without_links_leads_nowhere():
    changes, counts = of(LinkTable(), [7])
    assert not len(changes) and counts.tolist() == [0] and LinkTable().frozen()(7) == b""


def strongest_of(links: dict[int, int]) -> dict[int, int]:
    best = sorted(links, key=lambda row: (-links[row], TIE[row]))[:STRONGEST]
    return {row: links[row] for row in best}


def many_links(seed: int) -> dict[int, int]:
    """Links of a row that many led to; hundreds of them as strong as each other."""
    chance = random.Random(seed)
    return {row: chance.choice([1, 2, 2, 2, 9, 300]) for row in chance.sample(range(MANY), 2 * MOST)}


@pytest.mark.parametrize("saved", [True, False])
def test_of_many_links_the_strongest_are_given_and_of_equal_ones_those_of_the_lowest_tie(saved: bool):
    links = many_links(1)
    raw = pairs(links).tobytes()
    table = LinkTable(Ragged(np.array([len(raw)]), raw)) if saved else LinkTable()
    if not saved:
        table.add(0, pairs({row: weight - 1 for row, weight in links.items()}))
        table.add(0, pairs(dict.fromkeys(links, 1)))
    changes, counts = of(table, [0])
    assert counts.tolist() == [STRONGEST] and told(changes) == strongest_of(links)
    assert told(changes_of(table.frozen()(0))) == links  # what is kept is all


def test_what_changed_since_the_strongest_were_chosen_counts_at_once_and_replicas_agree_when_they_are_chosen_anew():
    links, table = many_links(2), LinkTable()
    table.add(0, pairs(links))
    given = told(of(table, [0])[0])
    up, new = min(given, key=given.__getitem__), next(row for row in range(MANY) if row not in links)
    table.add(0, pairs({up: 50, new: 1000}))
    links |= {up: links[up] + 50, new: 1000}
    assert told(of(table, [0], NOW + CHOSEN_FOR_MS - 1)[0]) == given | {up: links[up], new: 1000}
    assert told(of(table, [0], NOW + CHOSEN_FOR_MS)[0]) == strongest_of(links)
    fallen = max(links, key=links.__getitem__)
    table.add(0, pairs({fallen: -links[fallen]}))
    del links[fallen]
    table.frozen()
    table.add(0, pairs({up: 1}))  # links that a snapshot holds are copied: what was chosen of these does not count
    links[up] += 1
    assert told(of(table, [0], NOW + CHOSEN_FOR_MS + 1)[0]) == strongest_of(links)
    assert told(of(table, [0], 0)[0]) == strongest_of(links)  # a clock that was set back


def test_a_row_that_changes_all_the_time_gives_no_more_than_its_strongest_links_and_some_changes():
    links, table = many_links(4), LinkTable()
    table.add(0, pairs(links))
    chance, most = random.Random(5), 0
    for _ in range(4 * MOST):
        row = chance.choice([*links])
        table.add(0, pairs({row: 1}))
        links[row] += 1
        most = max(most, len(of(table, [0])[0]))
    assert STRONGEST < most <= STRONGEST + CHANGES_SINCE
    assert told(of(table, [0], NOW + CHOSEN_FOR_MS)[0]) == strongest_of(links)


def test_how_a_rows_changes_lie_does_not_matter():
    """Not more than MOST links are all given, however many changes they are the sum of."""
    links = {row: 4 for row in range(MOST - 200)}
    raw, table = pairs(links).tobytes(), LinkTable()
    for _ in range(2):
        table.add(0, pairs(dict.fromkeys(links, 2)))
    assert told(of(table, [0])[0]) == told(of(LinkTable(Ragged(np.array([len(raw)]), raw)), [0])[0]) == links


def test_a_link_that_was_not_chosen_and_loses_weight_does_not_become_less_than_nothing():
    links, table = many_links(6), LinkTable()
    table.add(0, pairs(links))
    given = told(of(table, [0])[0])
    other = next(row for row in links if row not in given and links[row] > 1)
    table.add(0, pairs({other: -1}))
    assert told(of(table, [0])[0]) == given


def test_what_was_taken_away_is_left_out_of_rows_whose_strongest_were_chosen_and_counts_in_all_others():
    links, table = many_links(6), LinkTable()
    table.add(0, pairs({1: 5, 2: 7}))
    table.add(1, pairs(links))
    table.add(2, pairs({3: 9, 4: 2}))
    strongest = told(of(table, [1])[0])
    for row, by in ((0, {1: -5}), (1, {next(iter(links)): -1, 7: 40}), (2, {4: -1, 9: 6})):
        table.add(row, pairs(by))
    strongest[7] = strongest.get(7, 0) + 40
    expected = [{2: 7}, strongest, {3: 9, 4: 1, 9: 6}]
    for order in ([0, 1, 2], [1, 2, 0], [2, 1, 1, 0]):
        changes, counts = of(table, order)
        assert [told(one) for one in np.split(changes, np.cumsum(counts)[:-1])] == [expected[row] for row in order]
    changes, counts = of(table, [])
    assert not len(changes) and counts.dtype == np.int64 and not len(counts)

"""Links are what their changes add up to, whenever they are asked for, and a snapshot's stay what they were."""

import random
from dataclasses import dataclass

import numpy as np
import pytest

from serving.columns import Ragged
from serving.links import CHANGES_SINCE, HIGHEST, MOST, SETTLED_S, STRONGEST, Changes, LinkTable, changes_of
from serving.numbering import Numbering

ROWS, OTHERS = 5, 100
MANY = 10 * STRONGEST


@dataclass
class Rows:
    numbering: Numbering
    tie: np.ndarray


TIE = np.random.default_rng(3).permutation(MANY).astype(np.uint32)


def table_of(saved: list[dict[int, int]] = []) -> LinkTable:  # noqa: B006 - only read
    """A table of links that a snapshot brought, encoded as another table encodes them."""
    first = LinkTable(Rows(Numbering(MANY), TIE))
    for row, links in enumerate(saved):
        first.add(row, pairs(links))
    raw = [first.frozen()(row) for row in range(len(saved))]
    return LinkTable(Rows(Numbering(MANY), TIE), Ragged(np.array([*map(len, raw)], np.int64), b"".join(raw)))


def settled(table: LinkTable) -> LinkTable:
    """All that changed is summed, as after a while."""
    for turn in range(1, 2 * MOST):
        table.settle(turn * SETTLED_S)
    return table


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
    table, moments = table_of(known[:-1]), []
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
    table = table_of()
    for at in range(20_000):
        table.add(0, pairs({1: 5, 2 + at % 3: 1 - 2 * (at % 2)}))
        if at % 20 == 0:
            table.frozen()  # a snapshot, after which links are copied before they change
    changes, counts = table.of([0])
    assert len(changes) == counts.sum() < 200 and told(changes)[1] == 100_000


def test_a_row_without_links_leads_nowhere():
    changes, counts = table_of().of([7])
    assert not len(changes) and counts.tolist() == [0] and table_of().frozen()(7) == b""


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
    table = table_of([links] if saved else [])
    if not saved:
        table.add(0, pairs({row: weight - 1 for row, weight in links.items()}))
        table.add(0, pairs(dict.fromkeys(links, 1)))
    changes, counts = table.of([0])
    assert counts.tolist() == [STRONGEST] and told(changes) == strongest_of(links)
    assert told(changes_of(table.frozen()(0))) == links  # what is kept is all


def test_what_changed_since_the_strongest_were_found_counts_at_once_and_replicas_agree_after_a_while():
    links, table = many_links(2), table_of()
    table.add(0, pairs(links))
    given = told(table.of([0])[0])
    up, new = min(given, key=given.__getitem__), next(row for row in range(MANY) if row not in links)
    table.settle(SETTLED_S)
    table.add(0, pairs({up: 50, new: 1000}))
    links |= {up: links[up] + 50, new: 1000}
    table.settle(2 * SETTLED_S - 1)
    assert told(table.of([0])[0]) == given | {up: links[up], new: 1000}
    table.settle(2 * SETTLED_S)
    assert told(table.of([0])[0]) == strongest_of(links)


def test_a_snapshot_holds_each_link_once_and_the_strongest_in_front_whatever_is_summed_meanwhile():
    links, table = many_links(2), table_of()
    table.add(0, pairs(links))
    fallen, up = max(links, key=links.__getitem__), min(links, key=links.__getitem__)
    table.add(0, pairs({fallen: -links[fallen], up: 500}))
    links = {row: weight for row, weight in (links | {up: links[up] + 500}).items() if row != fallen}
    before = told(table.of([0])[0])
    frozen = table.frozen()
    table.add(0, pairs({fallen: 1}))
    assert told(table.of([0])[0]) == before | {fallen: before[fallen] + 1}
    assert told(settled(table).of([0])[0]) == strongest_of(links | {fallen: 1})
    later = table.frozen()
    settled(table).add(0, pairs({up: 1}))
    settled(table)
    for encoded, then in ((frozen, links), (later, links | {fallen: 1})):
        changes = changes_of(encoded(0))
        assert dict(changes.tolist()) == then and len(changes) == len(then)
        assert dict(changes[:STRONGEST].tolist()) == strongest_of(then)


def test_summing_in_turns_leaves_a_snapshot_as_it_was_and_says_when_it_is_done():
    links, table = [many_links(row) for row in range(40)], table_of()
    for row, some in enumerate(links):
        table.add(row, pairs(some))
        table.add(row, pairs({row: 7}))
        some[row] = some.get(row, 0) + 7
    frozen, turns = table.frozen(), 1
    while table.settle(SETTLED_S, 0.00005):
        turns += 1
    assert turns > 2
    for row, some in enumerate(links):
        assert told(table.of([row])[0]) == strongest_of(some)
        table.add(row, pairs({row: 3}))  # to what was summed, not to what the snapshot holds
        assert dict(changes_of(frozen(row)).tolist()) == some


def test_a_weight_beyond_the_highest_stays_at_it_whenever_it_is_summed():
    table = table_of()
    for _ in range(2):
        table.add(0, pairs({1: HIGHEST, 2: 5}))
    assert told(changes_of(table.frozen()(0))) == {1: HIGHEST, 2: 10}
    table.add(0, pairs(dict.fromkeys(range(3, 3 + CHANGES_SINCE), 1)))
    assert told(table.of([0])[0]) == {1: HIGHEST, 2: 10} | dict.fromkeys(range(3, 3 + CHANGES_SINCE), 1)


def test_a_row_that_comes_to_have_many_links_gives_the_strongest_after_a_while():
    links, table = dict.fromkeys(range(MOST - 10), 5), table_of()
    table.add(0, pairs(links))
    more = dict.fromkeys(range(MOST - 10, MOST + 20), 9)
    table.add(0, pairs(more))
    assert told(table.of([0])[0]) == links | more
    assert told(settled(table).of([0])[0]) == strongest_of(links | more)


@pytest.mark.parametrize("seed", range(5))
def test_what_a_replica_gives_after_a_while_is_told_by_the_links_alone(seed: int):
    chance, links = random.Random(seed), many_links(seed)
    table, by = table_of([links]), dict.fromkeys(links, 0)
    for row in chance.choices([*links], k=CHANGES_SINCE + 50):
        table.add(0, pairs({row: 1}))
        by[row] += 1
    after = {row: weight + by[row] for row, weight in links.items()}
    assert told(settled(table).of([0])[0]) == told(table_of([after]).of([0])[0]) == strongest_of(after)


def test_a_row_that_changes_all_the_time_gives_no_more_than_its_strongest_links_and_some_changes():
    links, table = many_links(4), table_of()
    table.add(0, pairs(links))
    chance, most = random.Random(5), 0
    for _ in range(4 * MOST):
        row = chance.choice([*links])
        table.add(0, pairs({row: 1}))
        links[row] += 1
        most = max(most, len(table.of([0])[0]))
    assert STRONGEST < most < STRONGEST + CHANGES_SINCE
    assert told(settled(table).of([0])[0]) == strongest_of(links)


def test_how_a_rows_changes_lie_does_not_matter():
    """Not more than MOST links are all given, however many changes they are the sum of."""
    links, table = {row: 4 for row in range(MOST - 200)}, table_of()
    for _ in range(2):
        table.add(0, pairs(dict.fromkeys(links, 2)))
    assert told(table.of([0])[0]) == told(table_of([links]).of([0])[0]) == links


def test_a_link_that_is_not_among_the_strongest_and_loses_weight_does_not_become_less_than_nothing():
    links, table = many_links(6), table_of()
    table.add(0, pairs(links))
    given = told(table.of([0])[0])
    other = next(row for row in links if row not in given and links[row] > 1)
    table.add(0, pairs({other: -1}))
    assert told(table.of([0])[0]) == given


def test_what_was_taken_away_is_left_out_of_rows_with_many_links_and_counts_in_all_others():
    links, table = many_links(6), table_of()
    table.add(0, pairs({1: 5, 2: 7}))
    table.add(1, pairs(links))
    table.add(2, pairs({3: 9, 4: 2}))
    strongest = told(table.of([1])[0])
    for row, by in ((0, {1: -5}), (1, {next(iter(links)): -1, 7: 40}), (2, {4: -1, 9: 6})):
        table.add(row, pairs(by))
    strongest[7] = strongest.get(7, 0) + 40
    expected = [{2: 7}, strongest, {3: 9, 4: 1, 9: 6}]
    for order in ([0, 1, 2], [1, 2, 0], [2, 1, 1, 0]):
        changes, counts = table.of(order)
        assert [told(one) for one in np.split(changes, np.cumsum(counts)[:-1])] == [expected[row] for row in order]
    changes, counts = table.of([])
    assert not len(changes) and counts.dtype == np.int64 and not len(counts)

"""Popularity decays, co-visitation is directed, and shares of partitions add up."""

import msgspec
import numpy as np
import pytest

from domain.clock import DAY_MS
from domain.codecs import FORMAT, pack
from domain.errors import MalformedEvent
from domain.interactions import INTERACTION_TYPES
from domain.log_reader import LogRecord
from domain.profile import Touch
from embeddings.exact_index import ExactIndex
from learning.signals import (
    LAG_WEIGHTS,
    LOOK_BACK,
    ONCE,
    POPULARITY_HALF_LIVES_DAYS,
    PREDECESSORS_KEPT,
    STAGES,
    ItemSignals,
    learn,
    predecessors,
    pulling_types,
    stage_of,
)
from learning.signals_record import NUMBERS, SHAPE, pack_share, position_of, unpack_share, written
from serving.behaviour import Behaviour
from serving.catalogue import FIRST_CAPACITY, Catalogue
from serving.heads import KEPT
from serving.links import AT_MOST

FAST = int(POPULARITY_HALF_LIVES_DAYS[0] * DAY_MS)


def touch(time: int, offset: int, item: str = "i", kind: str = "click") -> Touch:
    return Touch(time, f"e{offset}", item, kind, None, offset)


def learned(*touches: Touch) -> ItemSignals:
    signals = ItemSignals()
    for one in touches:
        learn(signals, [(one.offset, one.event_time, 0, [])])
    return signals


def test_a_count_halves_with_its_half_life():
    assert learned(touch(0, 0), touch(FAST, 1)).counts[0] == pytest.approx(1.5)


def test_a_late_event_counts_as_if_it_had_come_in_time():
    in_time, late = learned(touch(0, 0), touch(FAST, 1)), learned(touch(FAST, 0), touch(0, 1))
    assert late.counts == pytest.approx(in_time.counts) and late.as_of_ms == in_time.as_of_ms


def test_a_record_at_or_below_the_position_changes_nothing():
    signals = learned(touch(0, 5))
    learn(signals, [(5, 1, 0, ["x"])])
    learn(signals, [(4, 1, 0, ["x"])])
    assert signals == learned(touch(0, 5))


def test_what_led_to_an_item_is_bounded_and_the_newest_weighs_most():
    before = [touch(at, at, item=f"i{at % 30}") for at in range(70)]
    led = predecessors(before, touch(100, 100, item="target"), pulling_types(INTERACTION_TYPES))
    assert led == [f"i{at % 30}" for at in range(69, 69 - LOOK_BACK, -1)]
    signals = ItemSignals()
    learn(signals, [(100, 100, 70, led)])
    assert signals.before["i9"] == ONCE
    assert list(signals.before.values()) == sorted(signals.before.values(), reverse=True)


def test_what_was_disliked_led_to_nothing_and_an_item_does_not_lead_to_itself():
    before = [touch(0, 0, "bad", "dislike"), touch(1, 1, "target"), touch(2, 2, "good")]
    assert predecessors(before, touch(3, 3, "target"), pulling_types(INTERACTION_TYPES)) == ["good"]


def test_the_predecessors_of_an_item_are_bounded_and_the_heaviest_stay():
    signals = ItemSignals()
    for at in range(PREDECESSORS_KEPT * 4):
        learn(signals, [(at, at, 0, ["always", f"p{at}"])])
    assert len(signals.before) <= PREDECESSORS_KEPT * 1.5 and "always" in signals.before


def test_of_equally_heavy_predecessors_the_first_by_id_stay():
    names = [f"p{at:03}" for at in range(PREDECESSORS_KEPT * 3 // 2 + 1)]
    signals = ItemSignals()
    for at, name in enumerate(reversed(names)):
        learn(signals, [(at, at, 0, [name])])
    assert set(signals.before) == set(names[:PREDECESSORS_KEPT])


def test_which_predecessors_stay_is_told_by_weight_and_id_alone_and_a_restart_between_changes_no_byte():
    chance = np.random.default_rng(11)
    calm, restarted = ItemSignals(), ItemSignals()
    dropped = 0
    for at in range(60):
        led = chance.choice(700, LOOK_BACK, replace=False)
        lesson = at, at, 0, [f"p{one}" for one in led.tolist()]
        before = dict(calm.before)
        learn(calm, [lesson])
        learn(restarted, [lesson])
        restarted = unpack_share(pack_share(restarted))
        assert pack_share(restarted) == pack_share(calm)
        sums = before | {one: before.get(one, 0) + weight for one, weight in zip(lesson[3], LAG_WEIGHTS, strict=True)}
        if len(sums) > PREDECESSORS_KEPT * 3 // 2:
            kept = sorted(sums, key=lambda one: (-sums[one], one))[:PREDECESSORS_KEPT]
            assert calm.before == {one: sums[one] for one in kept}
            assert list(calm.before) == [one for one in sums if one in calm.before]
            dropped += 1
        else:
            assert calm.before == sums
    assert dropped > 2


@pytest.fixture
def behaviour() -> Behaviour:
    return Behaviour(Catalogue(ExactIndex(4), None))


def share(position: int, counts: float, before: dict[str, int], as_of_ms: int = 0) -> ItemSignals:
    return ItemSignals(
        position, 0, as_of_ms, [counts] * len(POPULARITY_HALF_LIVES_DAYS), [counts] * len(STAGES), before
    )


def put(behaviour: Behaviour, item_id: str, partition: int, signals: ItemSignals) -> None:
    put_raw(behaviour, item_id, partition, pack_share(signals))


def put_raw(behaviour: Behaviour, item_id: str, partition: int, raw: bytes | None) -> None:
    behaviour.put(item_id, LogRecord("item-signals", partition, 0, 0, item_id.encode(), raw))


def links(behaviour: Behaviour, of: str, name: str) -> dict[str, int]:
    """What an item is linked with, by id: `of` is `successors` or `predecessors`."""
    catalogue, weights = behaviour._catalogue, {}
    for row, by in getattr(behaviour, of)([catalogue.row(name)])[0].tolist():
        weights[catalogue.ids[row]] = weights.get(catalogue.ids[row], 0) + by
    return {one: weight for one, weight in weights.items() if weight}


def test_the_shares_of_partitions_add_up_and_a_deleted_one_is_gone(behaviour):
    put(behaviour, "target", 0, share(1, 3, {"a": 200, "b": 100}))
    put(behaviour, "target", 1, share(1, 5, {"a": 50}))
    catalogue = behaviour._catalogue
    assert links(behaviour, "successors", "a") == {"target": 250}
    assert np.exp2(behaviour.popularity[:, catalogue.row("target")]) == pytest.approx(8)
    put_raw(behaviour, "target", 0, None)
    assert links(behaviour, "successors", "a") == {"target": 50}
    assert links(behaviour, "successors", "b") == {}
    assert np.exp2(behaviour.popularity[:, catalogue.row("target")]) == pytest.approx(5)


def test_what_came_before_an_item_is_known_as_well_as_what_came_after(behaviour):
    put(behaviour, "target", 0, share(1, 3, {"a": 200}))
    assert links(behaviour, "predecessors", "target") == {"a": 200}


def test_links_are_those_of_the_newest_share_whichever_predecessors_came_and_went(behaviour):
    chance, names = np.random.default_rng(5), [f"i{at}" for at in range(30)]
    newest: dict[int, dict[str, int]] = {}
    for position in range(300):
        partition = int(chance.integers(3))
        held = newest.get(partition, {})
        if chance.random() < 0.3:  # as after the lightest were left out
            held = {one: held[one] for one in chance.permutation(list(held))[: chance.integers(0, 9)].tolist()}
        added = chance.choice(names, chance.integers(0, 6), replace=False).tolist()
        newest[partition] = held | {one: held.get(one, 0) + int(chance.integers(1, 100)) for one in added}
        put(behaviour, "target", partition, share(position, 1, newest[partition]))
        sums = {one: sum(some.get(one, 0) for some in newest.values()) for one in names}
        assert links(behaviour, "predecessors", "target") == {one: sum_ for one, sum_ in sums.items() if sum_}
    for one in names:
        assert links(behaviour, "successors", one).get("target", 0) == sums[one]


LONG = "\U0001f3ac" * 128  # 512 bytes, the longest id there may be


@pytest.mark.parametrize(("first", "second"), [({"a": 7}, {LONG: 3, "a": 9}), ({LONG: 3, "a": 9}, {"a": 2**53})])
def test_a_share_that_is_written_otherwise_than_most_is_read_as_well(behaviour, first, second):
    put(behaviour, "target", 0, share(1, 1, first))
    put(behaviour, "target", 0, share(2, 1, second))
    assert links(behaviour, "predecessors", "target") == {one: min(by, AT_MOST) for one, by in second.items()}


@pytest.mark.parametrize("damage", [b"\xa1\xff\x01", b"\xa2a\x01", b"\xa1a\xc0", b"\x01\x01", b""])
def test_a_damaged_share_is_refused_and_changes_nothing(behaviour, damage, caplog):
    put(behaviour, "target", 0, share(1, 1, {"a": 7}))
    good = pack_share(share(2, 1, {"b": 9}))
    put_raw(behaviour, "target", 0, good[: good.index(b"\xa1b")] + damage)
    assert caplog.text.count("item-signals/0@0") == 1
    assert links(behaviour, "predecessors", "target") == {"a": 7}
    put_raw(behaviour, "target", 0, good)
    assert links(behaviour, "predecessors", "target") == {"b": 9}


def test_popularity_is_counted_apart_by_the_length_of_the_history():
    signals = ItemSignals()
    for offset, history in enumerate((0, 0, 1, 7)):
        learn(signals, [(offset, 0, history, [])])
    assert [signals.stages[stage_of(history)] for history in (0, 1, 7, 100)] == [2, 1, 1, 0]


def test_a_share_comes_back_as_it_was_written_to_the_last_bit():
    chance = np.random.default_rng(2)
    counts, stages = chance.random(len(POPULARITY_HALF_LIVES_DAYS)).tolist(), chance.random(len(STAGES)).tolist()
    before = {"a": 1, "b\u00e9 c": 2**53, "x" * 128: 0}
    signals = ItemSignals(2**40, 1, 2**42, counts, stages, before)
    assert unpack_share(pack_share(signals)) == signals
    assert pack_share(signals) == pack(written(signals))
    assert position_of(pack_share(signals)) == 2**40
    assert unpack_share(pack_share(ItemSignals())) == ItemSignals()


@pytest.mark.parametrize(
    "told",
    [
        [2, 1, 0, 0, [1.0] * len(POPULARITY_HALF_LIVES_DAYS), [1.0] * len(STAGES), {}],
        [1, 0, 0, [1.0] * len(POPULARITY_HALF_LIVES_DAYS), [1.0] * len(STAGES), {}],
        [SHAPE - 1, bytes(NUMBERS.itemsize), {}],
        [SHAPE, bytes(NUMBERS.itemsize - 8), {}],
        [SHAPE, bytes(NUMBERS.itemsize), {}, 1],
    ],
)
def test_a_share_of_another_version_is_refused_with_what_to_do(told):
    for read in (unpack_share, position_of):
        with pytest.raises(MalformedEvent, match="rebuild"):
            read(FORMAT + msgspec.msgpack.encode(told))


@pytest.mark.parametrize("before", [{"a": -1}, {"a": 0.5}, {1: 1}, ["a"], None])
def test_a_share_with_other_predecessors_than_weights_of_ids_is_refused(before):
    with pytest.raises(MalformedEvent):
        unpack_share(FORMAT + msgspec.msgpack.encode([SHAPE, bytes(NUMBERS.itemsize), before]))


def test_the_most_popular_are_known_without_looking_at_all(behaviour):
    chance = np.random.default_rng(3)
    for step in range(3000):
        name = f"i{chance.zipf(1.3) % 2000}"
        held = behaviour.shares(behaviour._catalogue.row(name)).get(0)
        put(behaviour, name, 0, share(step, (held.counts[0] if held else 0) + 1, {}))
    popularity = behaviour.popularity[0, : len(behaviour._catalogue)]
    found = popularity[behaviour.heads(0, 100)[1]]
    assert found.tolist() == sorted(popularity, reverse=True)[:100]


def test_an_item_whose_share_is_taken_away_is_popular_no_more(behaviour):
    for at in range(2 * KEPT):
        put(behaviour, f"i{at}", 0, share(1, 100 + at, {}))
    put(behaviour, "hot", 0, share(1, 1, {}))
    put(behaviour, "hot", 1, share(1, 1e6, {}))
    hot = behaviour._catalogue.row("hot")
    assert behaviour.trending()[0] == hot
    put_raw(behaviour, "hot", 1, None)
    assert hot not in behaviour.trending()


def test_an_older_share_never_replaces_a_newer(behaviour):
    put(behaviour, "target", 0, share(9, 3, {"a": 200}))
    put(behaviour, "target", 0, share(4, 1, {}))
    assert links(behaviour, "successors", "a") == {"target": 200}


def test_popularity_of_moments_decades_apart_is_compared_without_overflow(behaviour):
    put(behaviour, "old", 0, share(1, 1000, {}, as_of_ms=0))
    put(behaviour, "new", 0, share(1, 1, {}, as_of_ms=int(60 * 365 * DAY_MS)))
    old, new = (behaviour.popularity[0, behaviour._catalogue.row(one)] for one in ("old", "new"))
    assert np.isfinite([old, new]).all() and new > old


def test_arrays_grow_with_the_catalogue_whatever_makes_it_grow(behaviour):
    catalogue = behaviour._catalogue
    put(behaviour, "touched", 0, share(1, 1, {}))
    for number in range(FIRST_CAPACITY):
        catalogue.row(f"i{number}")
    assert np.isfinite(behaviour.popularity[0]).sum() == 1
    assert len(catalogue) == FIRST_CAPACITY + 1
    assert behaviour.popularity.shape[1] >= len(catalogue) and len(catalogue.live) >= len(catalogue)
    assert (catalogue.published_ms[FIRST_CAPACITY:] == -1).all()

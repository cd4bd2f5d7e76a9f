"""When a worker counts as stuck: records wait, and neither it nor what Kafka has committed has moved for too long."""

from kafka import TopicPartition

from stream.backlog import Backlog
from stream.watchdog import Stillness

ONE, TWO = TopicPartition("interactions", 1), TopicPartition("interactions", 2)
NONE, SOME = Backlog(10, 10), Backlog(10, 12)


def looks(*backlogs: dict[TopicPartition, Backlog], owned: tuple[TopicPartition, ...] = (ONE, TWO)) -> list[bool]:
    """What a worker of ten seconds' patience is judged to be, look by look, five seconds apart."""
    stillness = Stillness(10.0)
    return [bool(stillness.stuck(5.0 * at, owned, found)) for at, found in enumerate(backlogs)]


def test_a_backlog_that_does_not_move_for_long_enough_is_stuck():
    assert looks({ONE: SOME}, {ONE: SOME}, {ONE: SOME}) == [False, False, True]


def test_a_worker_with_nothing_to_do_is_not_stuck_nor_one_whose_first_record_has_just_come():
    assert looks(*[{ONE: NONE}] * 9, {ONE: Backlog(10, 11)}, {ONE: Backlog(10, 11)}) == [False] * 11


def test_a_partition_that_gets_on_slowly_is_not_stuck():
    assert not any(looks(*[{ONE: Backlog(at, 1_000)} for at in range(9)]))


def test_one_partition_that_stands_still_is_seen_among_others_that_move():
    stillness = Stillness(10.0)
    for at in range(3):
        found = stillness.stuck(5.0 * at, {ONE, TWO}, {ONE: Backlog(at, 99), TWO: SOME})
    assert found == [TWO]


def test_a_step_of_the_worker_forgets_what_was_suspected():
    stillness = Stillness(10.0)
    assert stillness.moved(0) and not stillness.moved(0)
    assert not stillness.stuck(0.0, {ONE}, {ONE: SOME})
    assert stillness.moved(1)
    assert not stillness.stuck(11.0, {ONE}, {ONE: SOME})
    assert stillness.stuck(21.0, {ONE}, {ONE: SOME})


def test_partitions_of_others_are_none_of_its_business():
    assert not any(looks(*[{ONE: SOME, TWO: NONE}] * 5, owned=(TWO,)))


def test_a_worker_that_was_given_nothing_is_stuck_only_if_nobody_moves_anything():
    assert not any(looks(*[{ONE: SOME, TWO: Backlog(at, 99)} for at in range(5)], owned=()))
    assert looks(*[{ONE: SOME, TWO: SOME}] * 3, owned=()) == [False, False, True]

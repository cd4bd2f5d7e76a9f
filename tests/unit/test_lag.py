"""The worker's lag: what waits counts from its arrival until its batch is done, of the partitions it has."""

from domain.log_reader import LogRecord
from stream.lag import Lag

NOW_MS = 1_000_000


def batch(*offsets: int, partition: int = 0, arrived_ms: int = NOW_MS, topic: str = "interactions") -> list[LogRecord]:
    return [LogRecord(topic, partition, one, arrived_ms + one, b"u", b"{}") for one in offsets]


def lag_at(now_ms: int) -> Lag:
    return Lag(lambda: now_ms)


def told(lag: Lag, topic: str = "interactions") -> tuple[int, float]:
    return lag.records(topic), lag.seconds(topic)


def test_a_worker_that_has_fetched_nothing_is_not_behind():
    assert told(lag_at(NOW_MS)) == (0, 0.0)


def test_records_wait_from_their_arrival_until_their_batch_is_done():
    lag = lag_at(NOW_MS + 5_000)
    lag.fetched(batch(0, 1, 2), 10)
    assert told(lag) == (10, 5.0)
    lag.fetched(batch(3, 4), 10)
    lag.handled(batch(0, 1, 2))
    assert told(lag) == (7, 4.997)


def test_between_two_fetches_the_age_is_that_of_the_last_record_when_it_was_done():
    lag = lag_at(NOW_MS + 5_000)
    lag.fetched(batch(0), 10)
    lag.handled(batch(0))
    assert told(lag) == (9, 5.0)


def test_who_has_done_all_is_not_behind_whatever_the_end_that_the_broker_tells():
    lag = lag_at(NOW_MS + 60_000)
    for end in (0, None, 2):
        lag.fetched(batch(0, 1), end)
        lag.handled(batch(0, 1))
        assert told(lag) == (0, 0.0)


def test_partitions_and_topics_are_told_apart():
    lag = lag_at(NOW_MS + 2_000)
    lag.fetched(batch(0), 1)
    lag.fetched(batch(5, partition=1, arrived_ms=NOW_MS - 8_000), 6)
    lag.fetched(batch(0, topic="items"), 3)
    assert told(lag) == (2, 9.995)
    assert told(lag, "items") == (3, 2.0)


def test_a_partition_that_was_taken_away_counts_no_more_not_even_when_its_last_batch_ends():
    lag = lag_at(NOW_MS + 2_000)
    lag.fetched(batch(0), 5)
    lag.forget([("interactions", 0), ("users", 0)])
    lag.handled(batch(0))
    assert told(lag) == (0, 0.0)


def test_what_is_read_again_waits_again():
    lag = lag_at(NOW_MS + 2_000)
    lag.fetched(batch(7), 8)
    lag.handled(batch(7))
    lag.fetched(batch(3, 4), 8)
    assert lag.records("interactions") == 5

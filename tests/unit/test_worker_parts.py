"""The worker's smaller parts: what needs embedding, when too much is refused, who owns a partition's state."""

import asyncio
import time

import msgspec
import pytest

import stream.membership
from domain.errors import MalformedEvent, TopicError
from domain.items import Item
from domain.log_reader import LogRecord
from embeddings.item_embedding import text_hash
from learning.signals import ItemSignals
from learning.signals_record import BEGINNING, pack_share
from serving.backlog import Backlog
from stream.dead_letters import WATCHED, DeadLetterGuard, TooManyDeadLetters, dead_letter
from stream.item_embedder import needs_embedding, read_items
from stream.membership import Membership, NoMember
from stream.outbox import Write, _by_place
from stream.owned_partitions import OwnedPartitions
from stream.partition_state import PartitionState
from stream.restore import _applier


def item_record(offset: int, item_id: str, item: Item | None, key: str | None = None) -> LogRecord:
    value = None if item is None else msgspec.json.encode(item)
    return LogRecord("items", 0, offset, 0, (item_id if key is None else key).encode(), value)


def test_the_newest_record_of_an_item_counts_and_a_null_deletes():
    batch = read_items(
        [
            item_record(0, "a", Item(item_id="a", title="old")),
            item_record(1, "b", Item(item_id="b", title="b")),
            item_record(2, "a", Item(item_id="a", title="new")),
            item_record(3, "b", None),
            item_record(4, "c", None),
            item_record(5, "c", Item(item_id="c", title="back")),
        ]
    )
    assert {one.item_id: one.title for one in batch.changed.values()} == {"a": "new", "c": "back"}
    assert batch.deleted == {"b"}


def test_an_item_under_another_key_is_refused():
    batch = read_items([item_record(0, "a", Item(item_id="a"), key="b"), item_record(1, "", None)])
    assert len(batch.refused) == 2 and not batch.changed


def test_a_deletion_whose_key_is_no_text_deletes_nothing():
    key = b"\xff"  # read leniently it would be the replacement character, which may be an item's id
    batch = read_items([LogRecord("items", 0, 0, 0, key, None)])
    assert len(batch.refused) == 1 and not batch.deleted


def test_only_a_changed_text_or_another_model_needs_embedding():
    items = {one: Item(item_id=one, title=one, price=2.0) for one in ("same", "changed", "unknown")}
    known = {"same": text_hash("m1", "same"), "changed": text_hash("m1", "something else")}
    assert [one.item_id for one in needs_embedding(items, known, "m1")] == ["changed", "unknown"]
    assert len(needs_embedding(items, known, "m2")) == 3


def test_a_dead_letter_keeps_bytes_key_reason_and_origin():
    record = LogRecord("interactions", 3, 17, 0, b"ann", b"{bad", [("freshet-merged-from", b"guest")])
    letter = dead_letter("dead-letters", record, MalformedEvent("not JSON"))
    assert (letter.key, letter.value) == (b"ann", b"{bad")
    headers = dict(letter.headers)
    assert headers["reason"] == b"malformed" and headers["detail"] == b"not JSON"
    assert headers["original-freshet-merged-from"] == b"guest"
    assert (headers["topic"], headers["partition"], headers["offset"]) == (b"interactions", b"3", b"17")


def saw(guard: DeadLetterGuard, pattern: str, topic: str = "interactions") -> None:
    """Shows the guard one batch: `.` is a good record, `x` a refused one."""
    records = [LogRecord(topic, 0, at, 0, b"k", b"") for at in range(len(pattern))]
    guard.saw(records, [(one, MalformedEvent("not JSON")) for one in records if pattern[one.offset] == "x"])


def test_the_guard_lets_a_few_bad_records_pass_and_stops_a_flood():
    guard = DeadLetterGuard(0.5, max_in_a_row=0)
    for _ in range(100):
        saw(guard, "........x.")
    saw(guard, "x" * (WATCHED // 2 - 150))
    with pytest.raises(TooManyDeadLetters, match="of the last 1000 records were refused"):
        saw(guard, "x" * WATCHED)


def test_the_guard_says_nothing_of_a_share_before_it_has_seen_enough():
    saw(DeadLetterGuard(0.5, max_in_a_row=0), "x" * (WATCHED - 1))


def test_the_guard_stops_when_too_many_of_a_topic_in_a_row_are_refused_and_says_which_and_why():
    guard = DeadLetterGuard(1.0, max_in_a_row=4)
    saw(guard, "xxxx.xxx")
    saw(guard, "x", topic="items")
    saw(guard, "x.xx")  # four in a row over the end of a batch
    saw(guard, "....", topic="items")  # another topic's good ones do not break the row
    with pytest.raises(TooManyDeadLetters) as stopped:
        saw(guard, "xxx.....")
    told = str(stopped.value)
    assert "5 records of interactions in a row" in told and "FRESHET_DEAD_LETTER_MAX_IN_A_ROW=4" in told
    assert "the last at interactions/0@2: not JSON" in told


def test_a_partition_is_restored_once_and_again_after_revocation():
    restored: list[int] = []

    async def restore(partition: int) -> str:
        restored.append(partition)
        await asyncio.sleep(0)
        return f"state {partition}"

    async def scenario() -> None:
        owned = OwnedPartitions(restore)
        assert await asyncio.gather(owned.get(1), owned.get(1)) == ["state 1", "state 1"]
        assert restored == [1]
        owned.drop({1, 2})
        assert await owned.get(1) == "state 1" and restored == [1, 1]

    asyncio.run(scenario())


def test_what_was_read_of_a_partition_that_was_revoked_meanwhile_is_not_kept():
    restored: list[int] = []

    async def scenario() -> None:
        async def restore(partition: int) -> int:
            restored.append(partition)
            if len(restored) == 1:
                owned.drop({1})
            return len(restored)

        owned = OwnedPartitions(restore)
        assert await owned.get(1) == 1 and not len(owned)
        assert await owned.get(1) == 2 and len(owned) == 1

    asyncio.run(scenario())


def test_partitions_are_read_when_they_are_assigned_and_no_further_once_they_are_revoked():
    restored: list[int] = []

    async def scenario() -> None:
        async def restore(partition: int) -> int:
            restored.append(partition)
            if partition == 2:
                await asyncio.Event().wait()
            return partition

        owned = OwnedPartitions(restore)
        owned.take({1, 2, 3})
        while 2 not in restored:
            await asyncio.sleep(0)
        assert len(owned) == 1
        owned.drop({1, 2, 3})
        assert await owned.get(4) == 4 and restored == [1, 2, 4]

    asyncio.run(scenario())


def test_a_member_writes_for_a_session_after_its_last_heartbeat_and_then_waits_for_another():
    async def scenario() -> None:
        membership = Membership(session_s=10)
        waiting = asyncio.create_task(membership.assured())
        await asyncio.sleep(0)
        assert not waiting.done(), "nothing was proven yet"
        membership.renew(time.monotonic())
        await waiting
        membership.renew(time.monotonic() - 11)
        waiting = asyncio.create_task(membership.assured())
        await asyncio.sleep(0)
        assert not waiting.done(), "its session may be over"
        membership.end()
        with pytest.raises(NoMember):
            await waiting
        membership.renew(time.monotonic())
        await membership.assured()

    asyncio.run(scenario())


def test_writes_that_wait_long_for_a_heartbeat_say_so_once(monkeypatch, caplog):
    monkeypatch.setattr(stream.membership, "SILENT_S", 0.05)

    async def scenario() -> None:
        membership = Membership(session_s=10)
        membership.renew(time.monotonic())
        await membership.assured()
        assert not caplog.messages
        membership.renew(time.monotonic() - 11)
        waiting = asyncio.create_task(membership.assured())
        await asyncio.sleep(0.3)
        membership.renew(time.monotonic())
        await waiting

    asyncio.run(scenario())
    assert caplog.messages == ["writes wait for Kafka to answer a heartbeat; a session takes 10 s"]


def test_of_several_values_of_a_key_the_newest_is_written_and_what_has_no_place_of_its_own_is_written_whole():
    old, new, other = Write("signals", b"a", b"1", 0), Write("signals", b"a", b"2", 0), Write("signals", b"b", b"3", 0)
    again = [Write("interactions", b"a", raw) for raw in (b"x", b"y")]
    letters = [Write("dead", None, raw, 0) for raw in (b"x", b"y")]
    assert _by_place([old, other, new, *again, *letters]) == {
        ("signals", 0): [other, new],
        ("interactions", None): again,
        ("dead", 0): letters,
    }


def shares(*told: tuple[bytes, int | None]) -> list[LogRecord]:
    values = [None if position is None else pack_share(ItemSignals(position)) for _, position in told]
    return [LogRecord("item-signals", 0, at, 0, key, values[at]) for at, (key, _) in enumerate(told)]


def newest_of_each(records: list[LogRecord]) -> list[LogRecord]:
    backlog = Backlog()
    for at in range(0, len(records), 2):  # as of several fetches
        backlog.take(records[at : at + 2])
    return [one for _ in range(len(backlog)) for one in backlog.give(1)]


def test_a_replica_applies_the_newest_of_each_key_and_comes_to_the_same_offset():
    records = shares((b"a", 0), (b"b", 1), (b"a", 2), (b"c", 3), (b"b", None))
    assert [one.offset for one in newest_of_each(records)] == [2, 3, 4]


def test_a_late_write_of_a_worker_that_lost_its_partitions_takes_no_newer_values_place():
    records = shares((b"a", 5), (b"a", 9), (b"a", 7))
    assert [one.offset for one in newest_of_each(records)] == [1, 2]
    damaged = [*records[:2], LogRecord("item-signals", 0, 2, 0, b"a", b"\xff")]
    assert [one.offset for one in newest_of_each(damaged)] == [1, 2]


def test_a_damaged_share_takes_no_good_ones_place():
    good, later = shares((b"i", 5), (b"i", 9))
    damaged = LogRecord(later.topic, later.partition, later.offset, 0, later.key, later.value + b"\x00")
    assert newest_of_each([good, damaged]) == [good, damaged]


def test_a_worker_does_not_go_on_without_the_shares_that_another_version_wrote():
    (share,) = shares((b"i", 5))
    other = share.value.replace(BEGINNING, BEGINNING[:2] + b"\x02" + BEGINNING[3:])
    overwritten: set[tuple[str, str]] = set()
    apply = _applier({share.topic: PartitionState().restore_signals}, overwritten, lambda: None)
    apply([share])
    with pytest.raises(TopicError, match="rebuild `item-signals`"):
        apply([LogRecord(share.topic, 0, 6, 0, b"i", other)])
    foreign = [b"\x01", b"\x01\xff\x02", b"\x01\x93\xa1x", share.value[:-1], b"{}"]
    apply([LogRecord(share.topic, 0, 7 + at, 0, b"i", raw) for at, raw in enumerate(foreign)])

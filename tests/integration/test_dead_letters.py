"""Dead letters on a real broker: what `freshet dead-letters` shows, counts and sends again."""

import asyncio
import base64
import json
import random
from collections.abc import Iterator

import pytest
from aiokafka import AIOKafkaProducer
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient
from typer.testing import CliRunner, Result

from cli import letters
from cli.broker import free_port
from cli.kafka_clients import connected
from cli.main import build
from cli.replaying import Marks
from domain.errors import BrokerUnavailable, EventError, MalformedEvent, TopicError, UnknownEventType
from domain.log_reader import LogRecord
from domain.settings import KafkaSettings, load_settings
from domain.topics import DEAD_LETTERS, INTERACTIONS, ITEMS, MARK_HEADER
from stream.dead_letters import dead_letter
from tests.integration.test_emitter import read_topic

BAD = MalformedEvent("item_id: expected at least 1 character, got ''")
NEW = UnknownEventType("type: 'share' is not known")


class Desk:
    """Puts dead letters as a worker does, and runs the command."""

    def __init__(self, settings: KafkaSettings) -> None:
        self.settings = settings
        self._offset = 0

    def put(self, error: EventError, *values: bytes | None, topic: str = INTERACTIONS, key: bytes = b"u1") -> None:
        producer = KafkaProducer(**self.settings.kafka_options(), acks="all", max_request_size=2 * 1_048_576)
        for value in values:
            origin = LogRecord(self.settings.topic(topic), 2, self._offset, 0, key, value)
            one = dead_letter(self.settings.topic(DEAD_LETTERS), origin, error)
            producer.send(one.topic, key=one.key, value=one.value, headers=list(one.headers))
            self._offset += 1
        producer.close()

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(build(), ["dead-letters", *arguments])

    def sent_again(self, topic: str = INTERACTIONS) -> list[bytes]:
        return sorted(record.value for record in read_topic(self.settings, topic))


@pytest.fixture
def desk(settings: KafkaSettings, overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    for name, value in overrides.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))
    return Desk(settings)


def test_none_is_said_in_words(desk: Desk) -> None:
    assert desk("list").output == "No dead letters.\n"
    assert desk("list", "--json").output == ""
    assert desk("count").output.split() == ["0", "in", "all"]
    assert desk("replay").output == "0 letters sent to interactions\n"


def test_the_list_has_place_reason_origin_and_a_preview(desk: Desk) -> None:
    desk.put(BAD, b'{"item_id": ""}')
    place, detail, preview = desk("list").output.splitlines()
    (record,) = read_topic(desk.settings, DEAD_LETTERS)
    assert place.startswith(f"{record.partition} {record.offset}  20")
    assert place.endswith(f"Z  malformed  {desk.settings.topic(INTERACTIONS)} 2@0")
    assert detail == f"    {BAD}"
    assert preview == '    \'{"item_id": ""}\''


def test_the_newest_are_listed_oldest_first(desk: Desk) -> None:
    for n in range(5):
        desk.put(BAD, b"%d" % n, key=b"user %d" % n)
    told = [json.loads(line) for line in desk("list", "--last", "3", "--json").output.splitlines()]
    assert [base64.b64decode(one["raw_base64"]) for one in told] == [b"2", b"3", b"4"]


def test_json_carries_the_record_to_the_byte(desk: Desk) -> None:
    raw = bytes(range(256))
    desk.put(BAD, raw)
    (told,) = map(json.loads, desk("list", "--json").output.splitlines())
    assert base64.b64decode(told["raw_base64"]) == raw
    assert (told["reason"], told["origin"], told["key"]) == ("malformed", "2@0", "u1")


def test_only_the_letters_of_a_reason_are_listed_and_counted(desk: Desk) -> None:
    desk.put(BAD, b"1", b"2")
    desk.put(NEW, b"3")
    assert desk("list", "--reason", "unknown_type").output.count(" unknown_type ") == 1
    assert " malformed " not in desk("list", "--reason", "unknown_type").output
    assert desk("count", "--reason", "malformed").output.splitlines()[-1].split() == ["2", "in", "all"]


def test_the_count_is_by_reason_and_topic_and_misses_none_of_a_batch(desk: Desk) -> None:
    desk.put(BAD, *[b"%d" % n for n in range(1_200)])
    desk.put(NEW, b"x")
    desk.put(BAD, b"{", b"[", topic=ITEMS)
    interactions, items = desk.settings.topic(INTERACTIONS), desk.settings.topic(ITEMS)
    assert [line.split() for line in desk("count").output.splitlines()] == [
        ["1,200", "malformed", interactions],
        ["2", "malformed", items],
        ["1", "unknown_type", interactions],
        ["1,203", "in", "all"],
    ]


def test_one_letter_is_shown_whole(desk: Desk) -> None:
    desk.put(NEW, b"1", b'{"type": "share", "note": "' + b"x" * 500 + b'"}')
    record = read_topic(desk.settings, DEAD_LETTERS)[1]
    shown = desk("show", str(record.partition), str(record.offset)).output
    for line in ("reason     unknown_type", "partition  2", "offset     1", "key        'u1'", '  "type": "share",'):
        assert line in shown.splitlines()
    assert "x" * 500 in shown


@pytest.mark.parametrize("place", [("0", "999"), ("999", "0")])
def test_a_place_without_a_letter_is_named(desk: Desk, place: tuple[str, str]) -> None:
    desk.put(BAD, b"1")
    refused = desk("show", *place).exception
    assert f"no dead letter at {'@'.join(place)}" in str(refused)


def test_what_a_terminal_would_obey_is_escaped(desk: Desk) -> None:
    desk.put(MalformedEvent("got \x1b[2J"), b'\x1b[2J \xc2\x9b2J \xff "')
    record = read_topic(desk.settings, DEAD_LETTERS)[0]
    for told in (desk("list").output, desk("show", str(record.partition), str(record.offset)).output):
        assert "\x1b" not in told and "\x9b" not in told
        assert "\\x1b[2J" in told and "\\xff" in told


def test_replay_sends_key_and_bytes_to_where_they_came_from_and_the_next_replay_does_not(desk: Desk) -> None:
    values = [b"%d" % n for n in range(5)]
    desk.put(NEW, *values)
    first = desk("replay")
    assert first.output == "5 letters sent to interactions: 5 unknown_type\n", first.exception
    again = desk("replay")
    assert again.output == "0 letters sent to interactions\n5 left alone: replayed before\n"
    assert desk.sent_again() == values
    assert {record.key for record in read_topic(desk.settings, INTERACTIONS)} == {b"u1"}
    desk.put(NEW, b"new")
    assert "1 letter sent to interactions: 1 unknown_type" in desk("replay").output
    assert desk.sent_again() == [*values, b"new"]


def test_a_header_without_a_value_does_not_keep_a_letter_from_being_replayed(desk: Desk) -> None:
    async def put() -> None:
        origin = LogRecord(desk.settings.topic(INTERACTIONS), 2, 0, 0, b"u1", b"{}", [("traceparent", None)])
        producer = AIOKafkaProducer(**desk.settings.kafka_options())
        await producer.start()
        one = dead_letter(desk.settings.topic(DEAD_LETTERS), origin, BAD)
        await producer.send_and_wait(one.topic, one.value, key=one.key, headers=list(one.headers))
        await producer.stop()

    asyncio.run(put())
    assert "1 letter sent" in desk("replay").output
    assert [one.headers for one in read_topic(desk.settings, INTERACTIONS)] == [[("traceparent", b"")]]


def test_what_was_replayed_is_known_as_long_as_the_letters_are_kept_not_as_long_as_a_consumer_group(desk: Desk) -> None:
    desk.put(NEW, b"1", b"2")
    assert "2 letters sent" in desk("replay").output
    with connected(KafkaAdminClient, desk.settings) as admin:  # Kafka forgets the offsets of a group after 7 days
        groups = [one["group_id"] for one in admin.list_groups()]
        assert not [one for one in groups if desk.settings.topic_prefix in one]
    assert "2 left alone: replayed before" in desk("replay").output


def test_the_marks_of_replays_are_no_letters(desk: Desk) -> None:
    for n in range(3):
        desk.put(NEW, b"%d" % n)
        assert "1 letter sent" in desk("replay").output
    records = read_topic(desk.settings, DEAD_LETTERS)
    assert len(records) == 6
    assert len(desk("list", "--last", "2", "--json").output.splitlines()) == 2
    assert desk("count").output.splitlines()[-1].split() == ["3", "in", "all"]
    mark = next(one for one in records if dict(one.headers).keys() == {MARK_HEADER})
    assert "no dead letter at" in str(desk("show", str(mark.partition), str(mark.offset)).exception)


def test_the_largest_record_that_a_topic_takes_is_replayed(desk: Desk) -> None:
    raw = random.Random(1).randbytes(1_048_400)
    desk.put(BAD, raw)
    assert "1 letter sent" in desk("replay").output
    assert desk.sent_again() == [raw]


def test_replaying_one_reason_leaves_the_others_for_later(desk: Desk) -> None:
    desk.put(BAD, b"bad 1")
    desk.put(NEW, b"new")
    desk.put(BAD, b"bad 2")
    told = desk("replay", "--reason", "malformed").output
    assert told == "2 letters sent to interactions: 2 malformed\n1 left alone: of another reason (unknown_type)\n"
    assert desk.sent_again() == [b"bad 1", b"bad 2"]
    assert "1 letter sent to interactions: 1 unknown_type" in desk("replay").output
    assert desk.sent_again() == [b"bad 1", b"bad 2", b"new"]


def test_a_dry_run_says_it_and_sends_nothing(desk: Desk) -> None:
    desk.put(BAD, b"1", b"2")
    for _ in range(2):
        assert desk("replay", "--dry-run").output == "2 letters would be sent to interactions: 2 malformed\n"
    assert desk.sent_again() == []


def test_items_are_replayed_only_when_asked_for_and_a_topic_that_is_not_ours_never(desk: Desk) -> None:
    desk.put(BAD, b"item", topic=ITEMS)
    desk.put(BAD, b"else", topic="elsewhere")
    desk.put(BAD, None)
    told = desk("replay").output
    assert "0 letters sent to interactions" in told and "1 left alone: without a value" in told
    for topic in (ITEMS, "elsewhere"):
        assert f"1 left alone: of another topic ({desk.settings.topic(topic)})" in told
    assert "1 letter sent to items: 1 malformed" in desk("replay", "--topic", "items").output
    assert desk.sent_again(ITEMS) == [b"item"]
    assert desk("replay", "--topic", "elsewhere").exit_code == 2


def test_a_replay_that_ends_before_it_could_remember_is_repeated_not_lost(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.put(BAD, b"1", b"2")

    def crash(_: Marks) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as crashing:
        crashing.setattr(Marks, "save", crash)
        desk("replay")
    assert "2 letters sent to interactions" in desk("replay").output
    assert desk.sent_again() == [b"1", b"1", b"2", b"2"]


def test_a_record_that_is_no_letter_of_ours_is_listed_and_left_alone(desk: Desk) -> None:
    producer = KafkaProducer(**desk.settings.kafka_options(), acks="all")
    producer.send(desk.settings.topic(DEAD_LETTERS), value=b"?", headers=[("failed_at", b"soon"), ("topic", b"")])
    producer.close()
    assert "unknown" in desk("list").output
    assert "1 left alone: of another topic (none is named)" in desk("replay").output


def test_without_the_topic_it_says_what_to_run(overrides: dict[str, object]) -> None:
    with pytest.raises(TopicError, match="run: freshet topics create"):
        list(letters.read_letters(load_settings(KafkaSettings, **overrides)))


def test_without_a_broker_it_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.kafka_clients.BOOTSTRAP_TIMEOUT_MS", 300)
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=nowhere):
        list(letters.read_letters(load_settings(KafkaSettings, bootstrap_servers=nowhere)))


def test_help_says_that_replaying_twice_is_harmless_and_for_what_it_is_not(desk: Desk) -> None:
    told = " ".join(desk("replay", "--help").output.split())
    assert "the same event_id never counts twice" in told and "sent at least once" in told
    assert "look before you replay those" in told

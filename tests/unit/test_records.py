"""What outsiders send is either a checked record or an EventError that names the field and the value."""

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.errors import EventError, FutureEvent, MalformedEvent, UnknownEventType
from domain.interactions import Interaction, InteractionType, convert_interaction, decode_interaction
from domain.items import Item, convert_item, decode_item
from domain.records import MAX_EPOCH_MS, MAX_RECORD_BYTES, epoch_ms
from domain.users import UserChange, convert_user_change, decode_user_change

NOW_MS = 1_800_000_000_000
CLICK: dict[str, Any] = {
    "event_id": "e1",
    "type": "click",
    "user_id": "u1",
    "item_id": "i1",
    "event_time": NOW_MS,
}


def decode_click(**changes: Any) -> Interaction:
    return decode_interaction(json.dumps(CLICK | changes), NOW_MS)


def refusal(**changes: Any) -> str:
    with pytest.raises(EventError) as refused:
        decode_click(**changes)
    return str(refused.value)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("event_id", 5, "event_id: expected `str`, got `int` '5'"),
        ("event_id", "", "event_id: expected `str` of length >= 1, got '\"\"'"),
        ("user_id", "x" * 129, "user_id: expected `str` of length <= 128"),
        ("user_id", "a\nb", "user_id: an id has 1 to 128 printable characters, got 'a\\nb'"),
        ("item_id", "   ", "item_id: an id has 1 to 128 printable characters"),
        ("session_id", "a\x00b", "session_id: an id has 1 to 128 printable characters"),
        ("recommendation_id", "\u200b", "recommendation_id: an id has"),
        ("event_time", "2026-11-22", "event_time: expected epoch milliseconds or RFC 3339"),
        ("event_time", "yesterday", "got 'yesterday'"),
        ("event_time", True, "event_time: expected `int | float | str`, got `bool` 'true'"),
        ("event_time", -0.5, "event_time: expected epoch milliseconds"),
        ("event_time", MAX_EPOCH_MS + 1, "event_time: expected epoch milliseconds"),
        ("value", 1e10, "value: expected `float` <= 1000000000.0, got '10000000000.0'"),
        ("dwell_ms", -1, "dwell_ms: expected `int` >= 0, got '-1'"),
        ("position", 1.5, "position: expected `int | null`, got `float` '1.5'"),
        ("context", {"": 1}, "context: expected `str` of length >= 1 as a key, got '{\"\":1}'"),
        ("context", {"a": [1]}, "context[...]: expected `bool | float | str | null`, got `array`"),
        ("context", {str(n): n for n in range(17)}, "context: expected `object` of length <= 16"),
    ],
)
def test_a_refusal_names_the_field_and_the_value(field: str, value: object, says: str) -> None:
    assert says in refusal(**{field: value})


@pytest.mark.parametrize("field", ["event_id", "type", "user_id", "item_id", "event_time"])
def test_a_missing_field_is_named(field: str) -> None:
    with pytest.raises(MalformedEvent, match=f"missing required field `{field}`"):
        decode_interaction(json.dumps({k: v for k, v in CLICK.items() if k != field}), NOW_MS)


def test_the_bounds_themselves_are_accepted() -> None:
    click = decode_click(
        user_id="x" * 128, value=-1e9, dwell_ms=86_400_000, position=100_000, context={"a" * 64: "b" * 256}
    )
    assert (len(click.user_id), click.value, click.dwell_ms) == (128, -1e9, 86_400_000)
    assert decode_click(event_time=0).time_ms == 0


def test_unknown_fields_are_kept_out() -> None:
    assert decode_click(colour="red") == decode_click()


def test_an_unknown_type_lists_those_known_and_the_setting_that_adds_one() -> None:
    with pytest.raises(UnknownEventType, match=r"type: 'share' is not one of cart, click.*INTERACTION_TYPES"):
        decode_click(type="share")
    types = {"share": InteractionType(weight=1.0)}
    assert decode_interaction(json.dumps(CLICK | {"type": "share"}), NOW_MS, types).type == "share"


def test_another_schema_version_is_refused() -> None:
    with pytest.raises(UnknownEventType, match="version: this deployment reads version 1, got 2"):
        decode_click(version=2)


def test_five_minutes_ahead_is_accepted_and_a_millisecond_more_is_not() -> None:
    assert decode_click(event_time=NOW_MS + 300_000).time_ms == NOW_MS + 300_000
    with pytest.raises(FutureEvent, match="event_time: "):
        decode_click(event_time=NOW_MS + 300_001)


def test_a_record_over_the_bound_is_refused_by_its_size() -> None:
    with pytest.raises(MalformedEvent, match=f"at most {MAX_RECORD_BYTES:,}"):
        decode_click(colour="x" * MAX_RECORD_BYTES)


def test_the_longest_title_and_description_fit_in_any_script() -> None:
    item = {"item_id": "i", "title": "𝄞" * 1_000, "description": "𝄞" * 20_000}
    assert len(decode_item(json.dumps(item, ensure_ascii=False)).description) == 20_000


def test_an_element_of_a_list_is_named_by_its_number() -> None:
    with pytest.raises(MalformedEvent, match=r"tags\[1\]: expected `str`, got `int` '5'"):
        decode_item('{"item_id": "i", "tags": ["a", 5]}')


@pytest.mark.parametrize(
    "raw",
    [
        b'{"event_id": 5, oops',
        b'{"event_id": 5, "x": ' + b"[" * 5_000,
        b'{"event_id": 5, "x": "\xff"}',
        '{"event_id": "\ud800"}',
    ],
    ids=["broken later", "too deep later", "bad UTF-8 later", "lone surrogate"],
)
def test_a_record_that_is_wrong_twice_is_still_an_event_error(raw: bytes | str) -> None:
    with pytest.raises(MalformedEvent):
        decode_interaction(raw, NOW_MS)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_write_is_refused_rather_than_dropped(number: float) -> None:
    with pytest.raises(MalformedEvent, match="NaN or infinite"):
        convert_interaction(CLICK | {"value": number}, NOW_MS)
    with pytest.raises(MalformedEvent, match="NaN or infinite"):
        convert_item({"item_id": "i", "attributes": {"size": number}})


def test_what_json_cannot_write_at_all_is_an_event_error() -> None:
    endless: list[object] = []
    endless.append(endless)
    for value in (object(), {("a", "b"): 1}, CLICK | {"user_id": "\ud800"}, endless, {"value": 10**5_000}):
        with pytest.raises(MalformedEvent):
            convert_interaction(value, NOW_MS)


def test_a_struct_and_its_dict_are_checked_alike() -> None:
    assert convert_interaction(decode_click(), NOW_MS) == decode_click()
    assert convert_item(Item(item_id="i", tags=["a"])) == decode_item('{"item_id": "i", "tags": ["a"]}')
    with pytest.raises(MalformedEvent, match="tags: expected `array`"):
        convert_item(Item(item_id="i", tags="a"))  # type: ignore[arg-type]


def test_a_merge_needs_another_user() -> None:
    for target in (None, "guest"):
        with pytest.raises(MalformedEvent, match="target: a merge needs another user's id"):
            convert_user_change({"user_id": "guest", "action": "merge", "event_time": 1, "target": target})
    merge = UserChange(user_id="guest", action="merge", event_time=1, target="login")
    assert convert_user_change(merge).target == "login"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=8,
)
FIELDS = sorted(set(Interaction.__struct_fields__ + Item.__struct_fields__ + UserChange.__struct_fields__))


@given(st.dictionaries(st.sampled_from(FIELDS), json_values))
def test_no_json_object_raises_anything_but_an_event_error(fields: dict[str, Any]) -> None:
    raw = json.dumps(CLICK | {"action": "erase"} | fields)
    for decode in (lambda one: decode_interaction(one, NOW_MS), decode_item, decode_user_change):
        try:
            decode(raw)
        except EventError:
            pass


@given(st.binary(max_size=200) | st.text(st.characters(), max_size=200), st.integers(0, 120))
def test_no_bytes_raise_anything_but_an_event_error(junk: bytes | str, cut: int) -> None:
    whole = json.dumps(CLICK)
    for raw in (
        junk,
        whole[:cut].encode() + (junk if isinstance(junk, bytes) else junk.encode("utf-8", "surrogatepass")),
    ):
        try:
            decode_interaction(raw, NOW_MS)
        except EventError:
            pass


@given(
    st.one_of(
        st.none(),
        st.integers(),
        st.floats(),
        st.text(st.characters()),
        st.binary(),
        st.tuples(),
        st.sets(st.integers()),
        st.dictionaries(st.integers() | st.text(), st.floats()),
    )
)
def test_no_python_value_raises_anything_but_an_event_error(value: object) -> None:
    for one in (value, CLICK | {"context": value}, CLICK | {"event_time": value}):
        try:
            convert_interaction(one, NOW_MS)
        except EventError:
            pass


offsets = st.integers(-23 * 60, 23 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
first, last = datetime(1971, 1, 1), datetime(9998, 12, 31)  # noqa: DTZ001 - Hypothesis adds the zone
moments = st.datetimes(first, last, timezones=offsets)


@given(moments)
def test_the_rfc_3339_and_the_epoch_form_of_a_moment_agree(moment: datetime) -> None:
    microseconds = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert epoch_ms("t", moment.isoformat()) == epoch_ms("t", microseconds // 1_000)


def test_the_letter_z_means_utc() -> None:
    assert epoch_ms("t", "2026-11-22T10:00:00Z") == epoch_ms("t", "2026-11-22T11:00:00+01:00") == 1_795_341_600_000

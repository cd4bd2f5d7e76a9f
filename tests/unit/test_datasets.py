"""Files of records: every line becomes a record or a reason, in any of the formats, twice the same."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.datasets import interactions_of, read_interactions, read_items
from cli.lines import json_lines, scalar
from cli.refusals import Refusals
from domain.errors import ConfigError, EventError, MalformedEvent
from domain.interactions import Interaction, InteractionType
from domain.items import Item
from domain.records import MAX_RECORD_BYTES

RATING = {"type": "rating", "user_id": "u1", "item_id": "i1", "event_time": 1_000, "value": 4.5}


def written(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def only(read: Iterator[tuple[int, Any]]) -> Any:
    ((_, record),) = read
    return record


def error_of(read: Iterator[tuple[int, Any]]) -> str:
    error = only(read)
    assert isinstance(error, EventError)
    return str(error)


def test_a_line_gives_its_record_or_why_it_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_text('\n{"item_id": "i1", "tags": ["a"]}\n\noops\n{"item_id": ""}\n{"item_id": "i2"}')
    found = list(read_items(path))
    assert [number for number, _ in found] == [2, 4, 5, 6]
    assert found[0][1] == Item(item_id="i1", tags=["a"]) and found[3][1] == Item(item_id="i2")
    assert "not valid JSON" in str(found[1][1]) and "item_id: expected" in str(found[2][1])


def test_every_format_gives_the_same_records(tmp_path: Path) -> None:
    plain = written(tmp_path / "e.jsonl", RATING | {"event_id": "e1"})
    packed = tmp_path / "e.ndjson.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    table = tmp_path / "e.csv"
    table.write_bytes(b"\xef\xbb\xbfevent_id,type,user_id,item_id,event_time,value\r\ne1,rating,u1,i1,1000,4.5\r\n")
    packed_table = tmp_path / "e.csv.gz"
    packed_table.write_bytes(gzip.compress(table.read_bytes()))
    expected = Interaction(event_id="e1", **RATING)
    for path in (plain, packed, table, packed_table):
        assert only(read_interactions(path)) == expected


def test_cells_become_lists_numbers_and_attributes(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text(
        "item_id,title,categories,price,available,attributes.year,attributes.code,attributes.new,published_at\n"
        '0042,"1984, a novel",Fiction| Classics |,9.5,false,1949,007,true,2020-01-01T00:00:00Z\n'
        "43,,,,,,,,\n"
    )
    (_, full), (_, bare) = read_items(path)
    assert full == Item(
        item_id="0042",
        title="1984, a novel",
        categories=["Fiction", "Classics"],
        price=9.5,
        available=False,
        attributes={"year": 1949.0, "code": "007", "new": True},
        published_at="2020-01-01T00:00:00Z",
    )
    assert bare == Item(item_id="43")


def test_a_table_of_interactions_keeps_ids_of_digits_as_text(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_text("event_id,type,user_id,item_id,event_time,context.page\n1,click,2,3,2026-01-01T10:00:00Z,4\n")
    event = only(read_interactions(path))
    assert (event.event_id, event.user_id, event.item_id) == ("1", "2", "3")
    assert event.context == {"page": 4.0}


@pytest.mark.parametrize(
    ("cell", "value"),
    [("1", 1.0), ("-2.5e3", -2500.0), ("007", "007"), ("1e999", "1e999"), ("12345678901234567890",) * 2, ("", "")],
)
def test_a_cell_is_a_number_only_if_a_number_can_keep_it(cell: str, value: object) -> None:
    assert scalar(cell) == value


def test_a_row_that_does_not_fit_the_header_is_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_bytes(b'item_id,title\na,b,c\nd,"e\xff"\nf,"g"h\ni,j\n')
    found = dict(read_items(path))
    assert "1 cells more than the header" in str(found[2])
    assert isinstance(found[3], EventError) and "not valid CSV" in str(found[4])
    assert found[5] == Item(item_id="i", title="j")


def test_a_line_too_long_is_refused_and_the_next_one_read(tmp_path: Path) -> None:
    path = tmp_path / "items.jsonl"
    path.write_bytes(b'{"item_id": "' + b"x" * 5 * MAX_RECORD_BYTES + b'"}\n{"item_id": "i2"}\n')
    (_, refused), (number, item) = read_items(path)
    assert f"at most {MAX_RECORD_BYTES:,}" in str(refused)
    assert (number, item) == (2, Item(item_id="i2"))


def test_a_damaged_file_gives_what_can_be_read_and_says_where_it_ends(tmp_path: Path) -> None:
    whole = gzip.compress(b"".join(b'{"item_id": "i%d"}\n' % n for n in range(50_000)))
    path = tmp_path / "items.jsonl.gz"
    path.write_bytes(whole[: len(whole) // 2])
    *good, (_, last) = read_items(path)
    assert len(good) > 1_000 and isinstance(last, MalformedEvent)
    assert "damaged from here on" in str(last)
    path.write_bytes(b"not gzip at all")
    assert "damaged from here on" in error_of(read_items(path))


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected a name ending in \.jsonl, \.ndjson or \.csv"):
        next(read_items(tmp_path / "items.parquet"))


def test_a_configured_type_is_known(tmp_path: Path) -> None:
    path = written(tmp_path / "e.jsonl", RATING | {"type": "share"})
    assert "type: 'share' is not one of" in error_of(read_interactions(path))
    assert only(read_interactions(path, {"share": InteractionType(weight=1.0)})).type == "share"


def test_an_event_without_an_id_gets_the_same_one_in_every_import(tmp_path: Path) -> None:
    first = written(tmp_path / "a.jsonl", RATING)
    other = written(tmp_path / "b.jsonl", dict(reversed(RATING.items())) | {"event_id": ""})
    assert only(read_interactions(first)).event_id == only(read_interactions(other)).event_id
    changed = written(tmp_path / "c.jsonl", RATING | {"value": 4})
    assert only(read_interactions(changed)).event_id != only(read_interactions(first)).event_id


def test_identical_lines_are_events_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path / "e.jsonl", RATING, RATING, RATING | {"value": 1}, RATING)
    ids = [event.event_id for _, event in read_interactions(path)]
    assert len(set(ids)) == 4
    assert ids == [event.event_id for _, event in read_interactions(path)]


@given(st.lists(st.sampled_from([1, 2, 3]), max_size=20))
def test_ids_depend_on_what_is_repeated_and_not_on_what_lies_between(values: list[int]) -> None:
    def ids(chosen: list[int]) -> list[str]:
        read = interactions_of((at, RATING | {"value": value}) for at, value in enumerate(chosen))
        return [event.event_id for _, event in read]

    of_ones = [event_id for event_id, value in zip(ids(values), values, strict=True) if value == 1]
    assert of_ones == ids([1] * len(of_ones))


@given(st.binary(max_size=300))
def test_no_file_raises_anything(tmp_path_factory: pytest.TempPathFactory, junk: bytes) -> None:
    folder = tmp_path_factory.mktemp("junk")
    for name in ("a.jsonl", "a.csv", "a.csv.gz"):
        path = folder / name
        path.write_bytes(junk if name == "a.jsonl" else b"item_id,attributes.a\n" + junk)
        assert all(isinstance(record, Item | EventError) for _, record in read_items(path))


def test_reading_holds_one_line_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    largest = 0

    class Watched:
        def __init__(self, file: Any) -> None:
            self.file = file

        def readline(self, limit: int) -> bytes:
            nonlocal largest
            part: bytes = self.file.readline(limit)
            largest = max(largest, len(part))
            return part

    path = tmp_path / "items.jsonl"
    path.write_bytes(b"x" * 20 * MAX_RECORD_BYTES)
    with path.open("rb") as file:
        assert len(list(json_lines(Watched(file)))) == 1  # type: ignore[arg-type]
    assert largest <= MAX_RECORD_BYTES + 2


def test_reasons_are_counted_by_field_with_the_first_lines() -> None:
    refusals = Refusals()
    for line in range(1, 9):
        refusals.add(line, MalformedEvent(f"event_time: expected epoch milliseconds, got {line}"))
    refusals.add(9, MalformedEvent("Object missing required field `type`"))
    assert refusals.count == 9
    assert refusals.report() == [
        "  8 x event_time: expected epoch milliseconds, got 1 (lines 1, 2, 3, 4, 5, …)",
        "  1 x Object missing required field `type` (line 9)",
    ]


def test_memory_of_seen_lines_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.datasets.REMEMBERED_LINES", 2)
    values = [1, 2, 3, 1]
    ids = [event.event_id for _, event in interactions_of((n, RATING | {"value": n}) for n in values)]
    assert ids[3] == ids[0]  # so far apart that it is taken for the same event

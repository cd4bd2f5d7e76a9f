"""Files of records, line by line: JSON lines and CSV, plain or gzip, in bounded memory. Knows no record's fields."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from domain.errors import ConfigError, EventError, MalformedEvent
from domain.records import MAX_RECORD_BYTES, decode

Value = dict[str, Any]
Line = tuple[int, Value | EventError]
"""The number of a line in its file, and what it holds or why it cannot be read."""

BOM = b"\xef\xbb\xbf"
# No leading zeros (an article number), and no more digits than a float keeps.
_NUMBER = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?([eE][-+]?\d{1,2})?")


def read_lines(path: Path) -> Iterator[Line]:
    """Reads a file by its suffix: .jsonl or .ndjson, or .csv, each also with .gz after it.

    A damaged file gives what could be read and an error in place of the rest.

    Raises:
        ConfigError: another suffix.
    """
    packed = path.suffix == ".gz"
    suffix = path.with_suffix("").suffix if packed else path.suffix
    if suffix not in {".jsonl", ".ndjson", ".csv"}:
        raise ConfigError(f"{path}: expected a name ending in .jsonl, .ndjson or .csv, with or without .gz")
    rows = csv_rows if suffix == ".csv" else json_lines
    number = 0
    with path.open("rb") as raw:
        file: IO[bytes] = gzip.open(raw) if packed else raw  # type: ignore[assignment]
        try:
            for number, value in rows(file):
                yield number, value
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            yield number + 1, MalformedEvent(f"the file is damaged from here on: {error}")


def json_lines(file: IO[bytes]) -> Iterator[Line]:
    """Reads one JSON object a line; blank lines are skipped."""
    number = 0
    while raw := file.readline(MAX_RECORD_BYTES + 2):
        number += 1
        if len(raw) > MAX_RECORD_BYTES + 1 and not raw.endswith(b"\n"):
            _skip_line(file)
        text = raw.removeprefix(BOM).strip()
        if text:
            try:
                yield number, decode(text, dict[str, Any])
            except EventError as error:
                yield number, error


def csv_rows(file: IO[bytes]) -> Iterator[Line]:
    """Reads rows under a header of field names.

    An empty cell is a field that is not given. `attributes.year` is the field `year` of `attributes`.
    """
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    rows = csv.DictReader(text, strict=True)
    try:
        while True:
            try:
                value = _value_of(next(rows))
            except StopIteration:
                return
            except csv.Error as error:
                value = MalformedEvent(f"not valid CSV: {error}")
            yield rows.reader.line_num, value  # its own counter stands still at an error
    finally:
        text.detach()  # the file is the caller's to close


def scalar(cell: str) -> str | float | bool:
    """Returns the number or the truth value that a cell holds, or its text."""
    if cell in {"true", "false"}:
        return cell == "true"
    return float(cell) if _NUMBER.fullmatch(cell) else cell


def _value_of(row: dict[str | None, Any]) -> Value | EventError:
    if None in row:
        return MalformedEvent(f"row has {len(row[None])} cells more than the header")
    value: Value = {}
    for name, cell in row.items():
        outer, dot, inner = str(name).partition(".")
        if cell and dot:
            value.setdefault(outer, {})[inner] = cell
        elif cell:
            value[outer] = cell
    return value


def _skip_line(file: IO[bytes]) -> None:
    while (part := file.readline(MAX_RECORD_BYTES)) and not part.endswith(b"\n"):
        pass

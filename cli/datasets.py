"""Files of items and interactions, record by record: what `freshet import`, `emit` and the backtest read."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from cli.lines import Line, Value, read_lines, scalar
from domain.clock import Clock, system_clock
from domain.errors import EventError
from domain.interactions import INTERACTION_TYPES, Interaction, InteractionType, convert_interaction
from domain.items import Item, convert_item

ReadItem = tuple[int, Item | EventError]
ReadInteraction = tuple[int, Interaction | EventError]

REMEMBERED_LINES = 100_000
"""An event without an id that repeats one among so many before it is another event; beyond, it is the same."""

_Convert = Callable[[str], Any]


def _labels(cell: str) -> list[str]:
    return [label.strip() for label in cell.split("|") if label.strip()]


# What a CSV cell becomes; a field that is not here stays text, so an id of digits stays an id.
_ITEM_CELLS: dict[str, _Convert] = {
    "categories": _labels,
    "tags": _labels,
    "price": scalar,
    "available": scalar,
    "published_at": scalar,
    "expires_at": scalar,
}
_INTERACTION_CELLS: dict[str, _Convert] = {
    "event_time": scalar,
    "value": scalar,
    "dwell_ms": scalar,
    "position": scalar,
    "version": scalar,
}


def read_items(path: Path) -> Iterator[ReadItem]:
    """Reads a file of items; each line gives the item or why it is refused.

    Raises:
        ConfigError: the file's suffix is neither .jsonl, .ndjson nor .csv.
    """
    for number, value in _typed(path, _ITEM_CELLS):
        try:
            yield number, value if isinstance(value, EventError) else convert_item(value)
        except EventError as error:
            yield number, error


def read_interactions(
    path: Path, types: Mapping[str, InteractionType] = INTERACTION_TYPES, clock: Clock = system_clock
) -> Iterator[ReadInteraction]:
    """Reads a file of interactions as `interactions_of` reads lines.

    Raises:
        ConfigError: the file's suffix is neither .jsonl, .ndjson nor .csv.
    """
    yield from interactions_of(_typed(path, _INTERACTION_CELLS), types, clock)


def interactions_of(
    lines: Iterable[Line],
    types: Mapping[str, InteractionType] = INTERACTION_TYPES,
    clock: Clock = system_clock,
) -> Iterator[ReadInteraction]:
    """Checks lines; each gives the interaction or why it is refused.

    An event without an id gets one from its content, so that importing it twice counts once. Of identical
    lines each is an event: the second has another id than the first, and the same in every import.
    """
    seen: OrderedDict[bytes, int] = OrderedDict()
    for number, value in lines:
        try:
            if isinstance(value, EventError):
                raise value
            if not value.get("event_id"):
                value["event_id"] = _content_id(value, seen)
            yield number, convert_interaction(value, clock(), types)
        except EventError as error:
            yield number, error


def _content_id(value: Value, seen: OrderedDict[bytes, int]) -> str:
    value.pop("event_id", None)
    content = msgspec.json.encode(value, order="deterministic")
    digest = hashlib.sha256(content).digest()
    occurrence = seen.pop(digest, 0) + 1
    seen[digest] = occurrence
    if len(seen) > REMEMBERED_LINES:
        seen.popitem(last=False)
    return "line-" + hashlib.sha256(digest + b"%d" % occurrence).hexdigest()[:32]


def _typed(path: Path, cells: Mapping[str, _Convert]) -> Iterator[Line]:
    """Gives the cells of a CSV file their types; JSON has them already."""
    if ".csv" not in path.suffixes:
        yield from read_lines(path)
        return
    for number, value in read_lines(path):
        if not isinstance(value, EventError):
            value = {name: _cell(cells.get(name), cell) for name, cell in value.items()}  # noqa: PLW2901
        yield number, value


def _cell(convert: _Convert | None, cell: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(cell, dict):
        return {name: scalar(text) for name, text in cell.items()}
    return convert(cell) if convert else cell

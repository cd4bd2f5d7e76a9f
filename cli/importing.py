"""`freshet import`: a catalogue or a history from files, checked as a whole before anything is sent."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal

import typer
from msgspec.structs import replace

from cli.datasets import read_interactions, read_items
from cli.progress import progress
from cli.refusals import Refusals
from domain.clock import system_clock
from domain.errors import ConfigError, EventError
from domain.interactions import Interaction
from domain.items import Item
from domain.settings import KafkaSettings, load_settings
from freshet.emitter import Emitter

Kind = Literal["items", "interactions"]
LINGER_MS = 50
"""A bulk load waits for full batches; nobody waits for the single event."""

SECONDS_BELOW_MS = 10_000_000_000
"""Epoch seconds of every year to 2286, taken for milliseconds, lie below: before May 1970."""


@dataclass
class Survey:
    """What a first reading of a file found."""

    good: int = 0
    first_ms: int | None = None
    last_ms: int | None = None
    refusals: Refusals = field(default_factory=Refusals)

    def note(self, line: int, record: Item | Interaction | EventError) -> None:
        """Counts one line."""
        if isinstance(record, EventError):
            self.refusals.add(line, record)
            return
        self.good += 1
        if isinstance(record, Interaction):
            self.first_ms = min(record.time_ms, self.first_ms or record.time_ms)
            self.last_ms = max(record.time_ms, self.last_ms or record.time_ms)


@dataclass(frozen=True)
class Source:
    """One file of one kind of records."""

    kind: Kind
    path: Path
    settings: KafkaSettings

    def read(self) -> Iterator[tuple[int, Item | Interaction | EventError]]:
        """Reads it from its beginning."""
        if self.kind == "items":
            return read_items(self.path)
        return read_interactions(self.path, self.settings.all_interaction_types())

    def survey(self) -> Survey:
        """Reads it through and counts."""
        survey = Survey()
        for line, record in progress(self.read(), f"checking {self.path.name}", "lines"):
            survey.note(line, record)
        return survey


def import_(
    what: Annotated[str, typer.Argument(help="`items` or `interactions`, or a folder that holds both.")],
    path: Annotated[Path | None, typer.Argument(help="A file, or the folder that holds it.")] = None,
    strict: Annotated[bool, typer.Option(help="Send nothing if any line is refused.")] = False,
    shift_to_now: Annotated[
        bool, typer.Option(help="Move all event times by as much as brings the last one to now: an old history, live.")
    ] = False,
) -> None:
    """Load items or interactions from files into Kafka.

    `freshet import items FILE`, `freshet import interactions FILE`, or `freshet import FOLDER` for a
    folder with items.jsonl and interactions.jsonl. Files are JSON lines (.jsonl, .ndjson) or CSV with field
    names in its first line (lists separated by |, attributes as columns like attributes.year), plain or
    with .gz. All is checked before anything is sent; then the good lines go. Importing twice counts once.
    """
    if load(what, path, strict, shift_to_now)["refused"]:
        raise typer.Exit(1)


def load(what: str, path: Path | None = None, strict: bool = False, shift_to_now: bool = False) -> dict[str, int]:
    """Does what `freshet import` does, and returns how many `items` and `interactions` went and were `refused`.

    Raises:
        ConfigError: there is no such file or folder to read.
        BrokerUnavailable, TopicError, DeliveryError: Kafka did not take the records.
    """
    settings = load_settings(KafkaSettings)
    surveyed = [(source, source.survey()) for source in _sources(what, path, settings)]
    for source, survey in surveyed:
        _report(source, survey)
    refused = sum(survey.refusals.count for _, survey in surveyed)
    if refused and strict:
        typer.echo("Nothing was sent (--strict).", err=True)
        return {"refused": refused}
    _send(surveyed, settings, system_clock() if shift_to_now else None)
    return {source.kind: survey.good for source, survey in surveyed} | {"refused": refused}


def _sources(what: str, path: Path | None, settings: KafkaSettings) -> list[Source]:
    if what in ("items", "interactions") and path is not None:
        kind: Kind = "items" if what == "items" else "interactions"
        return [Source(kind, path / f"{kind}.jsonl" if path.is_dir() else path, settings)]
    if path is None and Path(what).is_dir():
        return [
            Source("items", Path(what) / "items.jsonl", settings),
            Source("interactions", Path(what) / "interactions.jsonl", settings),
        ]
    raise ConfigError(f"import {what!r}: expected `items FILE`, `interactions FILE`, or a folder that exists")


def _report(source: Source, survey: Survey) -> None:
    span = ""
    if survey.first_ms is not None and survey.last_ms is not None:
        span = f" from {_day(survey.first_ms)} to {_day(survey.last_ms)}"
    refused = survey.refusals.count
    typer.echo(f"{source.path}: {survey.good:,} {source.kind}{span}, {refused:,} lines refused")
    for line in survey.refusals.report():
        typer.echo(line, err=True)
    if survey.last_ms is not None and survey.last_ms < SECONDS_BELOW_MS:
        typer.echo("  event_time: all before May 1970; are these seconds? Milliseconds are expected.", err=True)


def _send(surveyed: list[tuple[Source, Survey]], settings: KafkaSettings, end_ms: int | None) -> None:
    """Sends the good lines; with `end_ms`, interactions moved in time so that the last happened then."""
    with Emitter(settings, linger_ms=LINGER_MS) as emitter:
        for source, survey in surveyed:
            send: Callable[..., object] = emitter.emit_item if source.kind == "items" else emitter.emit
            shift_ms = 0 if end_ms is None or survey.last_ms is None else end_ms - survey.last_ms
            good = (_moved(record, shift_ms) for _, record in source.read() if not isinstance(record, EventError))
            for record in progress(good, f"sending {source.kind}", source.kind, survey.good):
                send(record)
    typer.echo(f"{sum(survey.good for _, survey in surveyed):,} records sent to {settings.bootstrap_servers}.")


def _moved(record: Item | Interaction, shift_ms: int) -> Item | Interaction:
    if shift_ms and isinstance(record, Interaction):
        return replace(record, event_time=record.time_ms + shift_ms)
    return record


def _day(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%d")

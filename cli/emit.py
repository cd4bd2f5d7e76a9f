"""`freshet emit`: one event from options, or many from a file or a pipe."""

import sys
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

import typer

from cli.datasets import ReadInteraction, interactions_of, read_interactions
from cli.lines import json_lines
from cli.progress import progress
from domain.clock import system_clock
from domain.errors import ConfigError, EventError
from domain.settings import KafkaSettings, load_settings
from freshet.emitter import Emitter

SHOWN = 10
"""Refused lines that are printed one by one."""


def emit(
    file: Annotated[str | None, typer.Argument(help="JSON lines or CSV; - reads JSON lines from a pipe.")] = None,
    user: Annotated[str | None, typer.Option(help="One event: whose it is.")] = None,
    item: Annotated[str | None, typer.Option(help="One event: about which item.")] = None,
    type_: Annotated[str, typer.Option("--type", help="One event: what happened.")] = "click",
    value: Annotated[float | None, typer.Option(help="One event: such as the stars of a rating.")] = None,
    event_id: Annotated[str | None, typer.Option(help="One event: the same id never counts twice.")] = None,
    event_time: Annotated[str | None, typer.Option(help="One event: RFC 3339 or epoch ms; else now.")] = None,
) -> None:
    """Send interactions to Kafka.

    `freshet emit --user u1 --item i1` sends one and prints the token for `after=`; `freshet emit FILE` and
    `... | freshet emit -` send one for each line. Refused lines are listed, the others are sent all the same.
    """
    settings = load_settings(KafkaSettings)
    if file is not None:
        if user or item:
            raise ConfigError("emit: give a file, or --user and --item, not both")
        _emit_lines(file, settings)
        return
    if not (user and item):
        raise ConfigError("emit: expected --user and --item, a file of JSON lines, or - for a pipe")
    event = {
        "event_id": event_id or uuid.uuid4().hex,
        "type": type_,
        "user_id": user,
        "item_id": item,
        "event_time": _time(event_time),
    }
    with Emitter(settings, linger_ms=0) as emitter:
        token = emitter.emit(event if value is None else event | {"value": value}).token()
    typer.echo(f"1 event sent; token {token}")


def _time(text: str | None) -> int | str:
    if text is None:
        return system_clock()
    return int(text) if text.isdecimal() else text


def _emit_lines(file: str, settings: KafkaSettings) -> None:
    types = settings.all_interaction_types()
    lines: Iterable[ReadInteraction] = (
        interactions_of(json_lines(sys.stdin.buffer), types) if file == "-" else read_interactions(Path(file), types)
    )
    sent = refused = 0
    with Emitter(settings) as emitter:
        for number, record in progress(lines, "sending", "events"):
            if isinstance(record, EventError):
                refused += 1
                if refused <= SHOWN:
                    typer.echo(f"line {number}: {record}", err=True)
            else:
                emitter.emit(record)
                sent += 1
    more = f" ({refused - SHOWN:,} more than shown)" if refused > SHOWN else ""
    typer.echo(f"{sent:,} events sent, {refused:,} lines refused{more}")
    if refused:
        raise typer.Exit(1)

"""`freshet models`: which versions of a model lie on Kafka, which one is active, and moving between them."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated, Any

import msgspec
import typer

from cli import model_store
from cli.model_contents import Version
from cli.model_topic import read_contents
from domain.errors import QueryError
from domain.models import ModelName, Pointer
from domain.settings import KafkaSettings, load_settings

app = typer.Typer(
    help="The models on Kafka: list their versions, make one active, go back.\n\n"
    "A model is published once, to the topic `models`, and every replica takes the active version from "
    "there, without a restart and without a shared disk. The newest 5 versions of each model are kept, and the "
    "active and the previous one whatever their age.",
    no_args_is_help=True,
)
Name = Annotated[ModelName, typer.Argument(help="`ranker` or `sequence`.")]
AsJson = Annotated[bool, typer.Option("--json", help="JSON: all fields, of each version on a line.")]
HEADER = ("", "model", "version", "created", "size", "metrics")


@app.command("list")
def list_(
    name: Annotated[ModelName | None, typer.Argument(help="Only this one: `ranker` or `sequence`.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the versions on Kafka, the newest first; * is the active one.

    A version whose size is in brackets is not whole: it is being published, or what publishes it ended.
    """
    found = model_store.list_versions(load_settings(KafkaSettings), name)
    if as_json:
        for one, active in found:
            typer.echo(_json({"active": active, **_told(one)}))
    elif found:
        typer.echo("\n".join(_table([HEADER, *(_row(one, active) for one, active in found)])))
    else:
        typer.echo("No models have been published.")


@app.command()
def show(
    name: Name,
    version: Annotated[str | None, typer.Argument(help="As `list` gives it; else the active one.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show all that is known of one version.

    What it was trained on, its metrics on the held-out tail, how it compared there with what was active then,
    and for the active one since when and why.
    """
    contents = read_contents(load_settings(KafkaSettings))
    at = contents.pointer(name)
    wanted = version or (at.version if at else None)
    found = [one for one in contents.versions(name) if one.version == wanted]
    if not found:
        what = f"version {wanted} is not on the topic" if wanted else "no version is active"
        raise QueryError(f"model {name}: {what}{contents.choice(name)}")
    is_active = at is not None and at.version == wanted
    told = {"active": is_active, **_told(found[0])}
    if at is not None and is_active:
        told |= {"why": at.why, "since": _time(at.at_ms), "previous": at.previous}
    if as_json:
        typer.echo(_json(told))
    else:
        for label, value in told.items():
            typer.echo(f"{label:12} {value if isinstance(value, str) else _json(value)}")


@app.command()
def promote(name: Name, version: Annotated[str, typer.Argument(help="As `list` gives it.")]) -> None:
    """Make a version the active one on every replica.

    Each loads it within moments, goes on answering meanwhile, and swaps when it is ready. A replica that cannot
    load it keeps the one it has, logs why and counts freshet_model_refused_total; freshet_model_info says which
    version each replica answers with. Promoting the active version again makes those that could not load it
    try once more.
    """
    _moved(name, model_store.promote(load_settings(KafkaSettings), name, version))


@app.command()
def rollback(
    name: Name,
    to: Annotated[str | None, typer.Option(help="To this version; else to the one before the last promotion.")] = None,
) -> None:
    """Go back to the version before.

    To the one that was active before the last promotion, or with --to to any that `list` shows. Nothing is
    deleted, so `promote` undoes it. Further back than one step needs --to.
    """
    _moved(name, model_store.rollback(load_settings(KafkaSettings), name, to))


def _moved(name: str, pointer: Pointer) -> None:
    typer.echo(f"{name}: {pointer.version} is active ({pointer.why}), before it {pointer.previous or 'none'}")


def _row(one: Version, active: bool) -> tuple[str, ...]:
    size = sum(one.sizes.values())
    metrics = " ".join(f"{what}={value:.4g}" for what, value in one.manifest.metrics.items()) if one.manifest else ""
    return (
        "*" if active else "",
        one.name,
        one.version,
        _time(one.created_ms()),
        f"{size:,}" if one.is_whole() else f"({size:,})",
        one.flaw or metrics,
    )


def _table(rows: Iterable[tuple[str, ...]]) -> list[str]:
    cells = list(rows)
    widths = [max(len(row[at]) for row in cells) for at in range(len(HEADER))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]


def _told(one: Version) -> dict[str, Any]:
    told = msgspec.to_builtins(one.manifest) if one.manifest else {"name": one.name, "version": one.version}
    told = {**told, "created": _time(one.created_ms()), "whole": one.is_whole(), "bytes_there": sum(one.sizes.values())}
    return told | ({"flaw": one.flaw} if one.flaw else {})


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _time(moment_ms: int) -> str:
    return datetime.fromtimestamp(moment_ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

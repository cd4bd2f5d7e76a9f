"""`freshet backtest`: how good the recommendations would have been, by the functions that make them."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import typer

from cli.off_policy import run_off_policy
from domain.errors import ConfigError
from domain.settings import ServingSettings, load_settings

Protocol = Literal["prequential", "new-items", "temporal", "last-one"]


def backtest(  # noqa: PLR0913, PLR0917  (the options of the command)
    folder: Annotated[
        Path | None,
        typer.Argument(help="Holds items.jsonl and interactions.jsonl; with --off-policy, exposures.jsonl as well."),
    ] = None,
    protocol: Annotated[
        Protocol,
        typer.Option(
            help="prequential: rank before each event, then learn from it. new-items: the same, but a tenth of the "
            "items is kept new and judged. The others compare with papers."
        ),
    ] = "prequential",
    last: Annotated[int, typer.Option(min=1, help="How many of the newest events are judged (prequential).")] = 20_000,
    warm_up: Annotated[
        int, typer.Option(min=0, help="Events before those on which the ranker learns without being judged.")
    ] = 20_000,
    retrain_every: Annotated[
        int, typer.Option(min=0, help="Train the sequence model again after so many events; 0 does without it.")
    ] = 1_500,
    config: Annotated[
        list[Path] | None,
        typer.Option(help="TOML or JSON of settings (`freshet settings`) to judge; repeat to compare with the first."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file as well; - for stdout.")] = None,
    off_policy: Annotated[
        bool, typer.Option("--off-policy", help="Estimate other exploration policies from what was shown and clicked.")
    ] = False,
) -> None:
    """Judge recommendations on a log of interactions, before anybody sees them.

    Every figure comes from the code that stream and serving run, only without Kafka and HTTP in between. The
    table gives hit rate, reciprocal rank, nDCG and recall over all items that the user had not seen, for slices
    of users and items; intervals come from resampling users.
    """
    if off_policy:
        _off_policy(folder, json)
        return
    if folder is None:
        raise ConfigError("backtest: give a FOLDER; `freshet data movielens-100k FOLDER` makes an example")
    configurations = _configurations(config or [])
    from cli.judging.run import judge  # noqa: PLC0415 - torch and FAISS take seconds to import

    told, lines = judge(folder, protocol, configurations, last, warm_up, retrain_every)
    _write(told, json)
    if str(json) != "-":
        typer.echo("\n".join(lines))


def _configurations(files: list[Path]) -> dict[str, ServingSettings]:
    """Returns the settings of each configuration by name."""
    found: dict[str, dict[str, Any]] = {path.stem: _read(path) for path in files} or {"default": {}}
    if len(found) < len(files):
        raise ConfigError("--config: two files of the same name; the table tells them apart by it")
    return {name: load_settings(ServingSettings, **values) for name, values in found.items()}


def _read(path: Path) -> dict[str, Any]:
    try:
        raw = path.read_bytes()
        values = tomllib.loads(raw.decode()) if path.suffix == ".toml" else msgspec.json.decode(raw)
    except (OSError, ValueError) as error:
        raise ConfigError(f"--config {path}: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"--config {path}: holds {type(values).__name__}, not settings by name")
    return values


def _off_policy(folder: Path | None, json: Path | None) -> None:
    exposures = None if folder is None else folder / "exposures.jsonl"
    interactions = None if folder is None else folder / "interactions.jsonl"
    run_off_policy(exposures, interactions, as_json=json is not None)


def _write(told: dict[str, Any], json: Path | None) -> None:
    raw = msgspec.json.format(msgspec.json.encode(told), indent=2)
    if json is not None and str(json) == "-":
        typer.echo(raw.decode())
    elif json is not None:
        json.write_bytes(raw + b"\n")

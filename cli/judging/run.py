"""One backtest from the files to the table."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

from cli.judging.judge import Judge
from cli.judging.log import EventLog, read_log
from cli.judging.protocols import PROTOCOLS, Plan
from cli.judging.report import as_json, table
from cli.judging.world import World
from domain.errors import ConfigError
from domain.settings import ServingSettings
from embeddings.transformer import TransformerEncoder
from learning.sequence.config import SequenceConfig

TRAINING_SECONDS = 480.0
"""A training of the sequence model ends after so long with what it has: that bounds a backtest of a large log."""


def judge(  # noqa: PLR0913, PLR0917  (what the command asks)
    folder: Path,
    protocol: str,
    configurations: Mapping[str, ServingSettings],
    last: int,
    warm_up: int,
    retrain_every: int,
) -> tuple[dict[str, Any], Iterator[str]]:
    """Returns the figures and the lines of the table; see `judge_all`."""
    told, found = judge_all(folder, protocol, configurations, last, warm_up, retrain_every)
    return told, _lines(told, next(iter(found.values())).log)


def judge_all(  # noqa: PLR0913, PLR0917  (what the command asks)
    folder: Path,
    protocol: str,
    configurations: Mapping[str, ServingSettings],
    last: int,
    warm_up: int,
    retrain_every: int,
) -> tuple[dict[str, Any], dict[str, Judge]]:
    """Judges each configuration on a folder's log; returns the figures, and what was judged, by configuration.

    Raises:
        ConfigError: the folder has nothing to judge.
    """
    log = read_log(folder, next(iter(configurations.values())))
    if log.refused.count:
        typer.echo(f"left out {log.refused.count:,} lines:", err=True)
        typer.echo("\n".join(log.refused.report()), err=True)
    config = SequenceConfig(seconds=TRAINING_SECONDS)
    encoder = TransformerEncoder()
    vectors = encoder.encode([item.text() for item in log.items])
    found: dict[str, Judge] = {}
    for name, settings in configurations.items():
        world = World(settings, encoder.dimension)
        world.put_items(log.items, vectors, encoder.version, int(log.times_ms[0]))
        every = 0 if "sequence" in settings.disabled else retrain_every
        plan = Plan(last, warm_up, every, config, lambda text: typer.echo(text, err=True))
        found[name] = PROTOCOLS[protocol](world, log, plan)
        if not found[name].cases.case:
            raise ConfigError(f"{folder}: nothing to judge: no event of the part to judge chooses a new item")
    told = {"protocol": protocol, "events": len(log), "items": len(log.items)} | as_json(found)
    return told, found


def _lines(told: dict[str, Any], log: EventLog) -> Iterator[str]:
    yield f"{len(log):,} events on {len(log.items):,} items, protocol {told['protocol']}"
    yield from table(told)

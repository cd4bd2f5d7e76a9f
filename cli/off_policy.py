"""`freshet backtest --off-policy`: what other policies would have earned, from what was shown and what was clicked."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import typer

from cli.datasets import read_interactions
from cli.lines import read_lines
from cli.refusals import Refusals
from cli.topic_records import records_of
from domain.errors import ConfigError, EventError
from domain.exposures import Exposure
from domain.interactions import Interaction, decode_interaction
from domain.records import convert, decode
from domain.settings import KafkaSettings, load_settings
from domain.topics import EXPOSURES, INTERACTIONS
from learning.intervals import Interval
from learning.off_policy import LOGGED, Estimate, Outcomes, estimates, join

WINDOW_MS = 1_800_000
"""Half an hour: after so long without an event a session is customarily over, and a slate with it."""

DOUBTFUL = 0.1
"""A mean weight further than this from 1 says that the log does not hold what the policy would show."""

Found = TypeVar("Found")
Lines = Iterator[tuple[int, Found | EventError]]


def run_off_policy(
    exposures: Path | None = None,
    interactions: Path | None = None,
    window_ms: int = WINDOW_MS,
    clip: float | None = None,
    as_json: bool = False,
) -> dict[str, Estimate]:
    """Prints what each policy would have earned for each item it shows, and returns it.

    Args:
        exposures: a file of exposures, one JSON object a line; without it and `interactions`, Kafka's topics are read.
        interactions: a file of interactions, as `freshet import` takes it.
        window_ms: how long after a slate an interaction may be its doing.
        clip: the most that a weight counts; None for no bound.
        as_json: one JSON object in place of the table.

    Raises:
        ConfigError: one file without the other, or a suffix that is not known.
        BrokerUnavailable, TopicError: Kafka's topics cannot be read.
    """
    settings = load_settings(KafkaSettings)
    shown, taken = _Reading[Exposure]("exposures"), _Reading[Interaction]("interactions")
    of_shown, of_taken = _sources(exposures, interactions, settings)
    outcomes = join(shown.good(of_shown), taken.good(of_taken), window_ms, settings.all_interaction_types())
    found = estimates(outcomes, clip)
    for line in (*shown.report(), *taken.report()):
        typer.echo(line, err=True)
    typer.echo(_json(outcomes, found, window_ms, clip) if as_json else "\n".join(_table(outcomes, found, window_ms)))
    return found


@dataclass
class _Reading(Generic[Found]):
    """Passes on the records that can be read and counts the others."""

    what: str
    refusals: Refusals = field(default_factory=Refusals)

    def good(self, lines: Lines[Found]) -> Iterator[Found]:
        for number, one in lines:
            if isinstance(one, EventError):
                self.refusals.add(number, one)
            else:
                yield one

    def report(self) -> Iterator[str]:
        if self.refusals.count:
            first = next(iter(self.refusals.reasons.values())).example
            yield f"{self.refusals.count:,} {self.what} left out that cannot be read, the first: {first}"


def _sources(
    exposures: Path | None, interactions: Path | None, settings: KafkaSettings
) -> tuple[Lines[Exposure], Lines[Interaction]]:
    types = settings.all_interaction_types()
    if exposures is not None and interactions is not None:
        return _exposures_of(exposures), read_interactions(interactions, types)
    if exposures is not None or interactions is not None:
        raise ConfigError("off-policy: give both files, exposures and interactions, or neither to read from Kafka")
    return (
        _of_topic(settings, EXPOSURES, lambda one: decode(one.value, Exposure, len(one.value))),
        _of_topic(settings, INTERACTIONS, lambda one: decode_interaction(one.value, one.timestamp, types)),
    )


def _exposures_of(path: Path) -> Lines[Exposure]:
    for number, value in read_lines(path):
        try:
            yield number, value if isinstance(value, EventError) else convert(value, Exposure)
        except EventError as error:
            yield number, error


def _of_topic(settings: KafkaSettings, topic: str, read: Callable[[Any], Found]) -> Lines[Found]:
    for record in records_of(settings, topic):
        if record.value is None:
            continue
        try:
            yield record.offset, read(record)
        except EventError as error:
            yield record.offset, error


def _table(outcomes: Outcomes, found: dict[str, Estimate], window_ms: int) -> Iterator[str]:
    shown, slates, taken = len(outcomes.rewards), found[LOGGED].slates, int(outcomes.rewards.sum())
    yield f"{shown:,} items shown in {slates:,} slates, {taken:,} taken up within {window_ms / 60_000:g} min"
    if not slates:
        return
    yield "rewards per shown item, with 95 % intervals over slates"
    yield f"{'policy':12}{'slates':>9}  {'IPS':24}  {'SNIPS':24}{'effective items':>17}{'mean weight':>13}"
    for name, one in found.items():
        yield (
            f"{name:12}{one.slates:>9,}  {_interval(one.ips):24}  {_interval(one.snips):24}"
            f"{one.effective_size:>17,.0f}{one.mean_weight:>13.3f}"
        )
    doubtful = [name for name, one in found.items() if not abs(one.mean_weight - 1) <= DOUBTFUL]
    if doubtful:
        yield f"{', '.join(doubtful)}: mean weight far from 1. The log is too small, or does not show what it would."


def _interval(one: Interval) -> str:
    return f"{one.mean:.4f} ({one.low:.4f} .. {one.high:.4f})"


def _json(outcomes: Outcomes, found: dict[str, Estimate], window_ms: int, clip: float | None) -> str:
    told = {
        "items": len(outcomes.rewards),
        "rewarded": int(outcomes.rewards.sum()),
        "window_ms": window_ms,
        "clip": clip,
        "policies": found,
    }
    return msgspec.json.encode(told).decode()

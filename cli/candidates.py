"""A trained model on its way: compared with the active one, written to a file, published, promoted if it is better."""

from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import typer
from numpy.typing import NDArray

from cli import model_store
from cli.model_topic import read_contents
from domain.errors import EventError, QueryError
from domain.settings import KafkaSettings
from learning.intervals import difference
from learning.metrics import hit, ndcg

PromoteIf = Literal["better", "always", "never"]
DECIDING = "ndcg@10"


class Active(NamedTuple):
    """The active version of a model and its artefact."""

    version: str
    raw: bytes


class Candidate(NamedTuple):
    """A trained model. `better` says whether it beats the active one, or none was there; the rest is its manifest's."""

    name: str
    raw: bytes
    metrics: dict[str, float]
    comparison: dict[str, Any]
    trained_on: str
    better: bool


class Compared(NamedTuple):
    """How a candidate did; `better` also where nothing is active."""

    metrics: dict[str, float]
    comparison: dict[str, Any]
    better: bool


def compared(
    ours: NDArray[np.int64], users: NDArray[np.int64], theirs: NDArray[np.int64] | None, against: str
) -> Compared:
    """Compares two models on the same events.

    Args:
        ours: (E,) rank that the candidate gave to what was chosen, from 0; -1: not among its candidates.
        users: (E,) whose event it was, numbered.
        theirs: (E,) the same of the active model; None without one.
        against: the active model's version.

    Returns:
        Means by measure; the comparison with the 95 % interval of the difference in nDCG@10. Without events no
        candidate beats an active model.
    """
    metrics = {"events": float(len(ours))}
    measures = {DECIDING: ndcg, "hit@10": hit}
    if len(ours):
        metrics |= {name: float(measure(ours, 10).mean()) for name, measure in measures.items()}
    if theirs is None:
        return Compared(metrics, {}, True)
    comparison: dict[str, Any] = {"against": against, "events": len(ours)}
    if not len(ours):
        return Compared(metrics, comparison, False)
    for name, measure in measures.items():
        comparison[name] = {"candidate": metrics[name], "active": float(measure(theirs, 10).mean())}
    spread = difference(ndcg(ours, 10), ndcg(theirs, 10), users)
    comparison[DECIDING] |= {"difference": spread.mean, "low": spread.low, "high": spread.high}
    return Compared(metrics, comparison, spread.mean > 0)


def active_of(settings: KafkaSettings, name: str) -> Active | None:
    """Returns the active version of a model; None if there is none, or it is damaged, which is said.

    Raises:
        BrokerUnavailable, TopicError: Kafka cannot be read.
    """
    pointer = read_contents(settings).pointer(name)
    if pointer is None:
        return None
    try:
        return Active(pointer.version, model_store.fetch(settings, name, pointer.version))
    except (QueryError, EventError) as error:
        typer.echo(f"compared with nothing: {error}", err=True)
        return None


def deliver(
    settings: KafkaSettings, candidate: Candidate, out: Path | None, publish: bool, promote_if: PromoteIf
) -> None:
    """Writes, publishes and promotes what was trained, as asked, and says what became of it.

    Raises:
        BrokerUnavailable, TopicError, DeliveryError: Kafka did not take it; what was active is so still.
        OSError: the file cannot be written.
    """
    typer.echo(_told(candidate))
    if out is not None:
        out.write_bytes(candidate.raw)
        typer.echo(f"{candidate.name}: {len(candidate.raw):,} bytes written to {out}")
    if not publish:
        return
    promote = promote_if == "always" or (promote_if == "better" and candidate.better)
    manifest = model_store.publish(
        settings,
        candidate.name,
        candidate.raw,
        metrics=candidate.metrics,
        comparison=candidate.comparison,
        trained_on=candidate.trained_on,
        promote=promote,
    )
    became = "is active" if promote else f"is a candidate: freshet models promote {candidate.name} {manifest.version}"
    typer.echo(f"{candidate.name}: {manifest.version} {became}")


def _told(candidate: Candidate) -> str:
    events = int(candidate.metrics["events"])
    if not events:
        return f"{candidate.name}: nothing to judge it on: nobody with a history chose something new"
    line = f"{candidate.name}: nDCG@10 {candidate.metrics[DECIDING]:.4f} on {events:,} events"
    if not candidate.comparison:
        return f"{line}; no model to compare with"
    found = candidate.comparison[DECIDING]
    return (
        f"{line}, {candidate.comparison['against']} (active) {found['active']:.4f}:"
        f" {found['difference']:+.4f} ({found['low']:+.4f} .. {found['high']:+.4f})"
    )

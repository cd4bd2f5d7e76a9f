"""`freshet train`: models from the log, judged on its newest part, published, and promoted if they are better."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.candidates import Active, PromoteIf, active_of, deliver
from domain.settings import ServingSettings, load_settings

if TYPE_CHECKING:
    from cli.training_log import TrainingLog

app = typer.Typer(
    help="Train a model on what people did, compare it with the active one on the newest events, publish it.\n\n"
    "Without a FOLDER the log is read from Kafka. Run it as often as you like: a model that is no better than "
    "the active one is kept as a candidate (`freshet models list`) and changes nothing.",
    no_args_is_help=True,
)
Folder = Annotated[
    Path | None, typer.Argument(help="Holds items.jsonl and interactions.jsonl; without it Kafka is read.")
]
Out = Annotated[Path | None, typer.Option(help="Write the artefact to this file as well.")]
Publish = Annotated[
    bool | None, typer.Option("--publish/--no-publish", help="Put it on Kafka. Default: if the log is from there.")
]
Promote = Annotated[
    PromoteIf, typer.Option(help="When to make it the active one. better: it beats the active one, or there is none.")
]


@app.command()
def sequence(  # noqa: PLR0913, PLR0917  (the options of the command)
    folder: Folder = None,
    seed: Annotated[int, typer.Option(help="The same seed, log and threads give the same bytes.")] = 42,
    seconds: Annotated[float, typer.Option(min=1, help="Training ends after so long with what it has.")] = 600.0,
    out: Out = None,
    publish: Publish = None,
    promote_if: Promote = "better",
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="File that an interrupted training goes on from if the log is the same; deleted at the end."),
    ] = None,
) -> None:
    """Train the model that finds candidates by what a user did last.

    It learns from all but the newest tenth of the log and is judged on that, beside the active model: next-item
    nDCG@10 over all items that the user had not touched. Where enough came since the active one was trained, only
    that is judged, so that neither has seen it. If it is better it goes on over everything, and is promoted.
    """
    from cli.train_sequence import train_sequence  # noqa: PLC0415 - torch takes seconds to import
    from learning.sequence.config import SequenceConfig  # noqa: PLC0415 - its package's neighbours load NumPy

    settings = load_settings(ServingSettings)
    publish = folder is None if publish is None else publish
    log = _log(folder, settings)
    active = _active(settings, "sequence", folder, publish)
    config = SequenceConfig(seed=seed, seconds=seconds)
    candidate = train_sequence(log, config, active, checkpoint, promote_if == "always")
    deliver(settings, candidate, out, publish, promote_if)


@app.command()
def ranker(  # noqa: PLR0913, PLR0917  (the options of the command)
    folder: Folder = None,
    learn_on: Annotated[int, typer.Option(min=2, help="So many of the newest events are ranked and learned from.")] = (
        20_000
    ),
    seconds: Annotated[
        float,
        typer.Option(min=1, help="Learning ends after so long with what it has; the replay before it is not counted."),
    ] = 600.0,
    out: Out = None,
    publish: Publish = None,
    promote_if: Promote = "better",
) -> None:
    """Train the model that orders the candidates of a slate.

    The log is replayed as workers and replicas would; before each of the newest events the candidates are
    ranked, then what was chosen is learned. On the second half the active ranker orders the same candidates, and
    nDCG@10 decides. Nothing in it is random. `freshet learn` keeps it learning from then on.
    """
    from cli.train_ranker import train_ranker  # noqa: PLC0415 - torch and FAISS take seconds to import

    settings = load_settings(ServingSettings)
    publish = folder is None if publish is None else publish
    log = _log(folder, settings)
    active = _active(settings, "ranker", folder, publish)
    expecting = _active(settings, "sequence", folder, publish)
    candidate = train_ranker(log, settings, learn_on, seconds, active, expecting)
    deliver(settings, candidate, out, publish, promote_if)


def _log(folder: Path | None, settings: ServingSettings) -> "TrainingLog":
    from cli.training_log import from_folder, from_kafka  # noqa: PLC0415 - torch takes seconds to import

    log = from_kafka(settings) if folder is None else from_folder(folder, settings)
    if log.refused.count:
        typer.echo(f"left out {log.refused.count:,} interactions:", err=True)
        typer.echo("\n".join(log.refused.report()), err=True)
    return log


def _active(settings: ServingSettings, name: str, folder: Path | None, publish: bool) -> Active | None:
    """Returns the active model; None for a training that has nothing to do with Kafka."""
    return active_of(settings, name) if folder is None or publish else None

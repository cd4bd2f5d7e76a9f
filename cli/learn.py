"""`freshet learn`: the ranker goes on learning while the stream flows."""

import signal
from threading import Event
from typing import Annotated

import typer

from cli.logs import set_up_logging
from domain.settings import ServingSettings, load_settings


def learn(
    every: Annotated[float, typer.Option(min=1, help="Seconds between publications; none if nothing was learned.")] = (
        60.0
    ),
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka's addresses; else FRESHET_BOOTSTRAP_SERVERS.")
    ] = None,
) -> None:
    """Keep the ranker learning from what people are shown and choose.

    Run one, beside workers and replicas, with their settings. It reads the topics into memory as a replica does,
    goes on from the active ranker with the events that came after that was made (without one, it begins with the
    newest 20,000), then follows. A choice among what a slate showed in the half hour before teaches by that
    slate, weighed by how rarely it is shown; any other teaches by the candidates that there were. Every `--every`
    seconds the weights are published and made active. `freshet train ranker` compares before it promotes; this
    does not.

    It keeps nothing of its own: killed, it starts again from the active weights, and nothing is lost but the
    steps since the last publication. Told to stop (SIGTERM, Ctrl-C), it publishes first.
    """
    given = {"bootstrap_servers": bootstrap_servers} if bootstrap_servers else {}
    settings = load_settings(ServingSettings, **given)
    set_up_logging(settings.log_level)
    from cli.learn_live import run  # noqa: PLC0415 - torch and FAISS take seconds to import

    stopping = Event()
    for one in (signal.SIGTERM, signal.SIGINT):
        signal.signal(one, lambda *_: stopping.set())
    run(settings, every, stopping)

"""`freshet stream`: one stream worker."""

from typing import Annotated

import typer

from cli.logs import set_up_logging
from domain.settings import StreamSettings, load_settings


def stream(
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka's addresses; else FRESHET_BOOTSTRAP_SERVERS.")
    ] = None,
) -> None:
    """Run a stream worker: events in, profiles, signals and item embeddings out.

    Start as many as you like, up to one for each partition: Kafka shares the partitions among them. A worker
    that is told to stop (SIGTERM) finishes its batches first; one that is killed loses nothing, the next
    goes on from the last commit.
    """
    overrides = {"bootstrap_servers": bootstrap_servers} if bootstrap_servers else {}
    settings = load_settings(StreamSettings, **overrides)
    set_up_logging(settings.log_level)
    from stream.worker import work  # Faust and torch take seconds to import

    work(settings)

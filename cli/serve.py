"""`freshet serve`: one serving replica."""

from typing import Annotated

import typer

from cli.logs import set_up_logging
from domain.settings import ServingSettings, load_settings


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind to; else FRESHET_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Port of the API; else FRESHET_PORT.")] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="Kafka's addresses; else FRESHET_BOOTSTRAP_SERVERS.")
    ] = None,
) -> None:
    """Run a serving replica: reads the derived topics into memory and answers over HTTP.

    It answers /health/ready with 200 once it has caught up, and goes on answering from memory when Kafka is
    away. The API's document is at /docs, the playground at /ui, the live page at /ui/live.
    """
    given = {"host": host, "port": port, "bootstrap_servers": bootstrap_servers}
    settings = load_settings(ServingSettings, **{name: value for name, value in given.items() if value is not None})
    set_up_logging(settings.log_level)
    from serving.server import serve as run  # torch and FAISS take seconds to import

    run(settings)

"""`freshet state hash`: whether two runs, or a run and its restart, came to the same state."""

import asyncio
from typing import Annotated

import typer

from domain.settings import ServingSettings, load_settings

app = typer.Typer(help="What the derived topics hold.", no_args_is_help=True)


@app.callback()
def state() -> None:
    """What the derived topics hold."""


@app.command("hash")
def hash_(
    url: Annotated[str | None, typer.Option(help="Ask this replica for the hash of its memory instead.")] = None,
    api_key: Annotated[str | None, typer.Option(help="Key for --url.")] = None,
) -> None:
    """Print one hash for each derived state: items, embeddings, signals, profiles, and all of them.

    The topics are read to their end, as a replica does on its start. The same log gives the same hashes,
    whatever was killed, restarted, sent twice or read in another order on the way.
    """
    hashes = _of_replica(url, api_key) if url else asyncio.run(hashes_of_topics(load_settings(ServingSettings)))
    for name, value in hashes.items():
        typer.echo(f"{name:16} {value}")


def _of_replica(url: str, api_key: str | None) -> dict[str, str]:
    from freshet import Client

    with Client(url, api_key=api_key, timeout_s=60) as client:
        return client.state_hashes()


async def hashes_of_topics(settings: ServingSettings) -> dict[str, str]:
    """Reads the derived topics to their end and returns the hash of each state."""
    from domain.log_reader import read_to_end
    from embeddings.exact_index import ExactIndex
    from serving.consumers import assign_all, new_consumer
    from serving.read_model import ReadModel
    from serving.state_hash import state_hashes

    model = ReadModel(settings, ExactIndex(384))
    consumer = new_consumer(settings)
    try:
        await consumer.start()
        await read_to_end(consumer, await assign_all(consumer, settings), model.apply)
    finally:
        await consumer.stop()
    return state_hashes(model)

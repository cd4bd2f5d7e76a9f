"""`freshet topics`: creates the topics, or says what is wrong with them."""

import typer

from domain.settings import KafkaSettings, load_settings

app = typer.Typer(help="Create the Kafka topics, or check their shape.", no_args_is_help=True)


@app.command()
def create() -> None:
    """Create the topics that are missing; those that exist are left alone, and then checked."""
    from stream.topic_admin import create_topics  # noqa: PLC0415 - kafka-python takes 0.2 s to import

    settings = load_settings(KafkaSettings)
    created = create_topics(settings)
    for name in created:
        typer.echo(f"created {name}")
    _check(settings)


@app.command()
def check() -> None:
    """Say what is wrong with the topics, and exit with 2 if anything is."""
    _check(load_settings(KafkaSettings))


def _check(settings: KafkaSettings) -> None:
    from stream.topic_admin import check_topics, describe_topics  # noqa: PLC0415 - as above

    check_topics(settings)
    found = describe_topics(settings)
    typer.echo(f"{len(found.partitions)} topics are as they should be.")
    if len(found.configs) < len(found.partitions):
        typer.echo("cleanup.policy: not reported by this broker, so not checked.")

"""`freshet doctor`: what is wrong with a set-up, check by check, and what to do."""

from collections.abc import Iterator, Sequence
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from pydantic_settings import SettingsError

from cli.check_machine import check_encoder, check_packages, check_port, check_python, check_settings, check_versions
from cli.check_services import check_kafka, check_replica
from cli.findings import Finding, not_checked
from domain.settings import ServingSettings


def doctor(
    url: Annotated[
        list[str] | None,
        typer.Option(
            help="A replica that must be running, may be given several times; else one is looked for on this "
            "machine's FRESHET_PORT."
        ),
    ] = None,
) -> None:
    """Say what is wrong with this set-up, one line a check, and what to do about it.

    Checked are the settings, Python and its packages, the text encoder's files, Kafka, its topics, the
    workers, how far behind they are and how long the oldest record waits, the dead letters and their share of
    the last hour's records, the replicas and how stale they are, the port. Nothing is changed.
    Exit code 0 if nothing is wrong, 1 otherwise.
    """
    faults = 0
    for finding in findings(url or []):
        typer.echo(finding.line())
        faults += finding.state == "wrong"
    if faults:
        typer.echo(f"{faults} of these are wrong." if faults > 1 else "One of these is wrong.")
        raise typer.Exit(1)
    typer.echo("Nothing is wrong.")


def findings(urls: Sequence[str]) -> Iterator[Finding]:
    """Makes every check, one after another, whatever the others found."""
    yield check_settings()
    yield check_python()
    yield check_packages()
    yield check_versions()
    settings = _readable_settings()
    if settings is None:
        yield not_checked("all the rest", "it needs settings that can be read")
        return
    yield check_encoder(settings.embedding_model)
    yield from check_kafka(settings)
    for url in urls:
        yield check_replica(url, must_run=True)
    if not urls:
        replica = check_replica(f"http://127.0.0.1:{settings.port}", must_run=False)
        yield replica
        if replica.state == "not checked":  # nothing listens, so one could be started
            yield check_port(settings.host, settings.port)


def _readable_settings() -> ServingSettings | None:
    """The settings with the default in place of what is not allowed; the first check has named that."""
    defaults: dict[str, Any] = {}
    for _ in range(2):
        try:
            return ServingSettings(**defaults)
        except ValidationError as error:
            fields = ServingSettings.model_fields
            names = {str(fault["loc"][0]) for fault in error.errors()}
            defaults = {name: fields[name].get_default(call_default_factory=True) for name in names}
        except SettingsError:  # a value that should be JSON and is not
            break
    return None

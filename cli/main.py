"""The `freshet` command: puts the commands together and turns errors into one clear line."""

import logging
import os
import sys
from collections.abc import Callable

import typer

from cli import (
    backtest,
    broker,
    data,
    dead_letters,
    demo,
    doctor,
    emit,
    importing,
    learn,
    models,
    replay,
    serve,
    settings,
    state,
    stream,
    topics,
    train,
)
from domain.errors import FreshetError

COMMANDS: tuple[tuple[str, Callable[..., None] | typer.Typer], ...] = (
    ("demo", demo.demo),
    ("topics", topics.app),
    ("stream", stream.stream),
    ("serve", serve.serve),
    ("emit", emit.emit),
    ("import", importing.import_),
    ("data", data.app),
    ("broker", broker.broker),
    ("doctor", doctor.doctor),
    ("dead-letters", dead_letters.app),
    ("replay", replay.replay),
    ("backtest", backtest.backtest),
    ("train", train.app),
    ("learn", learn.learn),
    ("models", models.app),
    ("settings", settings.settings),
    ("state", state.app),
)
"""In the order of the help text. A new command is one line here and one file."""


def build() -> typer.Typer:
    """Returns the application with all its commands."""
    app = typer.Typer(
        help="Real-time recommendations over Kafka.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
    )
    for name, command in COMMANDS:
        if isinstance(command, typer.Typer):
            app.add_typer(command, name=name)
        else:
            app.command(name)(command)
    return app


def main() -> None:
    """Runs the command line. Exits with 2 for an error of the user's or of the surroundings, 130 for Ctrl-C."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)  # our error says it in one line, its log in fifty
    try:
        build()(prog_name="freshet")
    except BrokenPipeError:  # `freshet settings | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except (FreshetError, OSError) as error:
        typer.echo(f"freshet: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()

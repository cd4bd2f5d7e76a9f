"""`freshet replay`: rebuilds what is derived from the log, beside what is in use."""

from typing import Annotated

import typer

from domain.errors import ConfigError
from domain.settings import StreamSettings, load_settings

SWITCH = """
To switch over, without a gap and without haste (within a week: Kafka forgets the offsets of groups without members):
  1. FRESHET_GENERATION={into} freshet stream     workers of the new generation, beside the old ones
  2. FRESHET_GENERATION={into} freshet serve      replicas, one after the other, each when /health/ready says so
  3. stop the old workers; to go back before that: FRESHET_GENERATION={live}
To look at it only, do the second alone, on a port of its own."""


def replay(
    into: Annotated[str, typer.Option(help="Name of the new generation: letters, digits, - and _.")],
    since: Annotated[
        str | None, typer.Option("--from", help="TIME or PARTITION@OFFSET: leave out interactions before it.")
    ] = None,
    until: Annotated[
        str | None, typer.Option("--to", help="TIME or PARTITION@OFFSET: as it was just before that.")
    ] = None,
    encode: Annotated[
        bool, typer.Option("--encode", help="Encode every text; else the vectors of unchanged ones are taken over.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be read and made; write nothing.")] = False,
) -> None:
    """Rebuild user-profiles, item-signals and item-embeddings from interactions, users and items.

    The new generation's topics get its name as an ending (user-profiles-g2) and lie beside those in use, which
    nobody touches. Workers, replicas and clients go on meanwhile. At the end it says how to switch over.

    \b
    freshet replay --into g2                            all of it: after a bug, or with other settings
    freshet replay --into may --to 2026-05-01T00:00:00Z the state as it was then, to look back
    freshet replay --into fixed --to interactions/3@1200
                                                        as it was just before that record came
    freshet replay --into young --from 2026-05-01T00:00:00Z
                                                        as if nobody had done anything before

    TIME is RFC 3339 or epoch milliseconds, and means when a record reached Kafka, not an event's own time. The
    replay uses the settings in force here, so give it those of the workers (FRESHET_PROFILE_SIZE,
    FRESHET_INTERACTION_TYPES, FRESHET_EMBEDDING_MODEL), or those that you want from now on.

    It goes as far as the live workers have committed; the new generation's workers go on from exactly there.
    Killed, it goes on where it was when the same command is run again. Dead letters and events that were sent
    again for a merged guest are not written a second time. What users have had erased stays erased, even if the
    replay looks back to before that. Run it once at a time, and no workers in that generation before it ends.
    """  # noqa: D301 - \b is for the help text, not for readers
    from cli.replay_plan import read_moment
    from cli.replay_run import Wanted, announce, compare, rebuild

    settings = load_settings(StreamSettings)
    new = load_settings(StreamSettings, generation=into)
    if new.generation in ("", settings.generation):
        raise ConfigError(f"--into {into!r} is the generation in use; choose a new name")
    wanted = Wanted(settings, new, read_moment("--from", since), read_moment("--to", until), encode)
    if dry_run:
        announce(wanted)
        typer.echo("Nothing was written (--dry-run).")
        return
    rebuild(wanted)
    compare(wanted)
    typer.echo(SWITCH.format(into=into, live=settings.generation or '""'))

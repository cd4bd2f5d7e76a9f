"""`freshet dead-letters`: what the workers refused, why, and sending it again once the cause is mended."""

import base64
import heapq
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

import msgspec
import typer

from cli.letters import Letter, find_letter, printable, read_letters
from cli.replaying import replay_letters
from domain.records import MAX_EPOCH_MS, bytes_preview
from domain.settings import KafkaSettings, load_settings

app = typer.Typer(help="What the workers refused, and sending it again.", no_args_is_help=True)

Reason = Annotated[str | None, typer.Option(help="Only these: malformed, unknown_type, future, invalid.")]
Origin = Literal["interactions", "items", "users"]
PREVIEW = 160


@app.command("list")
def list_(
    last: Annotated[int, typer.Option(min=1, help="How many, the newest.")] = 20,
    reason: Reason = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line; raw_base64 is the record.")] = False,
) -> None:
    """List the newest dead letters, the newest last: PARTITION OFFSET, when, reason, where it came from."""
    settings = load_settings(KafkaSettings)
    found = [] if reason else _newest(last, read_letters(settings, newest=last))
    if len(found) < last:  # what else lies there may have taken their places
        found = _newest(last, _of_reason(read_letters(settings), reason))
    for letter in reversed(found):
        typer.echo(_json(letter) if as_json else _lines(letter))
    if not found and not as_json:
        typer.echo("No dead letters.")


@app.command()
def show(
    partition: Annotated[int, typer.Argument(min=0, help="As `list` gives it.")],
    offset: Annotated[int, typer.Argument(min=0, help="As `list` gives it.")],
) -> None:
    """Show one dead letter whole: its headers, its key, its value."""
    letter = find_letter(load_settings(KafkaSettings), partition, offset)
    place, _, at = letter.origin.partition("@")
    for name, text in (
        ("reason", letter.reason),
        ("detail", letter.detail),
        ("topic", letter.topic),
        ("partition", place),
        ("offset", at),
        ("failed_at", _time(letter)),
        ("key", _preview(letter.key)),
    ):
        typer.echo(f"{name:10} {text}")
    typer.echo("\n".join(_whole(letter.value)))


@app.command()
def count(reason: Reason = None) -> None:
    """Count the dead letters by reason and by the topic they came from."""
    letters = _of_reason(read_letters(load_settings(KafkaSettings)), reason)
    counts = Counter((letter.reason, letter.topic) for letter in letters)
    for (why, topic), number in counts.most_common():
        typer.echo(f"{number:>10,}  {why:14} {topic}")
    typer.echo(f"{counts.total():>10,}  in all")


@app.command()
def replay(
    topic: Annotated[Origin, typer.Option(help="Those that came from this topic of ours, and back to it.")] = (
        "interactions"
    ),
    reason: Reason = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be sent; send nothing.")] = False,
) -> None:
    """Send dead letters again, raw and under their own key, to the topic they came from.

    Mend the cause first: what is refused again comes back as a new dead letter, and many of those stop the
    workers (FRESHET_DEAD_LETTER_MAX_SHARE, FRESHET_DEAD_LETTER_MAX_IN_A_ROW).

    Each letter is sent at least once. A later replay leaves out what an earlier one sent: a mark among the
    dead letters says so, and is kept as long as they are. Interactions sent twice are harmless all the
    same, because the same event_id never counts twice. Of an item the last record wins, and user changes
    apply in the order of the topic: there an old letter undoes what came after it, so look before you
    replay those.
    """
    told = replay_letters(load_settings(KafkaSettings), topic, reason, dry_run)
    reasons = ", ".join(f"{number:,} {why}" for why, number in told.replayed.most_common())
    verb = "would be sent" if dry_run else "sent"
    total = told.replayed.total()
    typer.echo(f"{total:,} letter{'s' * (total != 1)} {verb} to {topic}{f': {reasons}' if reasons else ''}")
    for why, number in told.left.most_common():
        typer.echo(f"{number:,} left alone: {why}")


def _newest(last: int, letters: Iterator[Letter]) -> list[Letter]:
    return heapq.nlargest(last, letters, key=lambda one: (one.failed_at_ms, one.partition, one.offset))


def _of_reason(letters: Iterator[Letter], reason: str | None) -> Iterator[Letter]:
    return (letter for letter in letters if reason in (None, letter.reason))


def _lines(letter: Letter) -> str:
    origin = f"{letter.topic} {letter.origin}"
    return "\n".join(
        (
            f"{letter.partition} {letter.offset}  {_time(letter)}  {letter.reason}  {origin}",
            f"    {letter.detail}",
            f"    {_preview(letter.value)}",
        )
    )


def _json(letter: Letter) -> str:
    told: dict[str, Any] = {name: value for name, value in vars(letter).items() if name not in {"key", "value"}}
    told["key"] = None if letter.key is None else letter.key.decode("utf-8", "backslashreplace")
    told["raw_base64"] = None if letter.value is None else base64.b64encode(letter.value).decode()
    return msgspec.json.encode(told | {"preview": _preview(letter.value)}).decode()


def _whole(value: bytes | None) -> list[str]:
    """The value for reading: JSON indented, anything else as it is, with what is not printable escaped."""
    if value is None:
        return ["no value"]
    try:
        value = msgspec.json.format(value, indent=2)
    except msgspec.DecodeError:
        pass  # that is why it lies here
    return [printable(line) for line in value.decode("utf-8", "backslashreplace").split("\n")]


def _preview(raw: bytes | None) -> str:
    return "none" if raw is None else bytes_preview(raw, PREVIEW)


def _time(letter: Letter) -> str:
    moment = datetime.fromtimestamp(min(max(letter.failed_at_ms, 0), MAX_EPOCH_MS) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

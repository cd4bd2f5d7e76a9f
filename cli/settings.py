"""`freshet settings`: every setting there is, with its default and its meaning."""

from collections.abc import Iterator
from typing import Annotated, NamedTuple

import typer
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from domain.settings import PREFIX, SETTINGS


class Setting(NamedTuple):
    """One row of the table."""

    name: str
    default: str
    meaning: str


def all_settings() -> Iterator[Setting]:
    """Gives every setting once, those that all processes share first."""
    seen: set[str] = set()
    for kind in SETTINGS:
        for name, field in kind.model_fields.items():
            if name not in seen:
                seen.add(name)
                yield Setting(PREFIX + name.upper(), _default(field), field.description or "")


def markdown() -> str:
    """The table as README.md has it; a test holds them equal."""
    rows = (f"| `{one.name}` | {_code(one.default)} | {one.meaning} |" for one in all_settings())
    return "\n".join(("| variable | default | meaning |", "| --- | --- | --- |", *rows))


def settings(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As the table in README.md.")] = False,
) -> None:
    """List every setting: its variable, its default, what it means."""
    if as_markdown:
        typer.echo(markdown())
        return
    for one in all_settings():
        typer.echo(f"{one.name}={one.default}\n    {one.meaning}")


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    return "" if value in (None, PydanticUndefined) else str(value)


def _code(default: str) -> str:
    return f"`{default}`" if default else ""

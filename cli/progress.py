"""The progress bar of long work: on stderr, with the rate, and silent where nobody watches."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

Step = TypeVar("Step")


def progress(steps: Iterable[Step], doing: str, unit: str, total: int | None = None) -> Iterable[Step]:
    """Passes the steps on and shows how far they are; nothing is printed if stderr is not a terminal."""
    bar: Iterable[Step] = tqdm(
        steps, desc=doing, unit=f" {unit}", total=total, file=sys.stderr, disable=None, leave=False
    )
    return bar


@contextmanager
def counted(doing: str, unit: str, total: int) -> Iterator[Callable[[int], object]]:
    """Gives a function that is told how many more steps are done; printed as by `progress`."""
    with tqdm(desc=doing, unit=f" {unit}", total=total, file=sys.stderr, disable=None, leave=False) as bar:
        yield bar.update

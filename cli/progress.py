"""The progress bar of long work: on stderr, with the rate, and silent where nobody watches."""

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

Step = TypeVar("Step")


def progress(steps: Iterable[Step], doing: str, unit: str, total: int | None = None) -> Iterable[Step]:
    """Passes the steps on and shows how far they are; nothing is printed if stderr is not a terminal."""
    bar: Iterable[Step] = tqdm(
        steps, desc=doing, unit=f" {unit}", total=total, file=sys.stderr, disable=None, leave=False
    )
    return bar

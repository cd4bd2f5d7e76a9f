"""Time enters the program here and is passed on as a number, so that everything else can be replayed."""

import time
from collections.abc import Callable

Clock = Callable[[], int]
"""Gives the present as epoch milliseconds."""

DAY_MS = 86_400_000


def system_clock() -> int:
    """Returns the present as epoch milliseconds."""
    return time.time_ns() // 1_000_000

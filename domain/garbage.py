"""When Python's garbage collector looks for cycles, and at what.

It costs by what a process keeps: a full look goes through a few objects for each user and item, in the middle of
answers and batches, and comes again and again. Events, records and requests leave no cycles behind: what they leave
goes by itself. Administrators of Kafka do, so `collect_new` follows them.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

RARELY = 1_000
"""A full look comes after so many of the middle generation: in practice never."""


def collect_rarely(after: int) -> None:
    """Lets the collector look at new objects each time `after` more were made than went; 700 is Python's own."""
    gc.set_threshold(after, gc.get_threshold()[1], RARELY)


@contextmanager
def none_collected() -> Iterator[None]:
    """Keeps the collector away while millions of objects come that stay: it would look through them again and again."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


def collect_new() -> None:
    """Looks at what is new now: after what is known to leave cycles, which would wait for long."""
    gc.collect(0)


def pass_over_what_is_here() -> None:
    """Takes what is there by now, modules and what was loaded, out of the collector's sight; takes no time."""
    gc.freeze()

"""When Python's garbage collector looks for cycles, and at what.

It costs by what a process keeps. With a few objects for each user and item a full look took a tenth of a second and
more of a replica with 20,000 of each, in the middle of answers, and came again and again; many small ones took a
quarter of a worker's processor time. Events, records, requests and connections leave no cycles behind: what they leave
goes by itself.
"""

import gc

RARELY = 1_000
"""A full look comes after so many of the middle generation: in practice never."""


def collect_rarely(after: int) -> None:
    """Lets the collector look at new objects each time `after` more were made than went; 700 is Python's own."""
    gc.set_threshold(after, gc.get_threshold()[1], RARELY)


def pass_over_what_is_here() -> None:
    """Takes what is there by now, modules and what was loaded, out of the collector's sight; takes no time."""
    gc.freeze()

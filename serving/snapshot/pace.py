"""How a thread in the background leaves the interpreter to those who answer requests."""

import time
from time import perf_counter

REST_S, WORK_S = 0.001, 0.001
"""The thread sleeps so long after so much work: requests wait for the interpreter no longer than that, where Python
itself would let them wait five times as long."""


class Pace:
    """Called often by the working thread; sleeps now and then.

    Attributes:
        hurries: nobody is served any more, so it does not sleep.
    """

    def __init__(self) -> None:
        self.hurries = False
        self._since = perf_counter()

    def __call__(self) -> None:
        """Sleeps if it is time."""
        if not self.hurries and perf_counter() - self._since > WORK_S:
            time.sleep(REST_S)
            self._since = perf_counter()

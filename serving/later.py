"""Work that follows from changes: done after each of them, or once after several."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Later:
    """Does the work after each change, and within `together` once, at its end."""

    def __init__(self, work: Callable[[], None]) -> None:
        self._work = work
        self._waits = False

    def changed(self) -> None:
        """Is told of a change."""
        if not self._waits:
            self._work()

    @contextmanager
    def together(self) -> Iterator[None]:
        """Puts the work off until its end, whatever happens within."""
        self._waits = True
        try:
            yield
        finally:
            self._waits = False
            self._work()

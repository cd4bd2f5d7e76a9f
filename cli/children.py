"""Child processes that end with their parent, however it ends."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from domain.errors import FreshetError

# Runs between fork and the program in a process of its own, because code in the forked copy of a threaded
# Python is unsafe. PR_SET_PDEATHSIG (1) survives exec: a killed parent leaves no child behind.
_LAUNCH = """
import os, signal, sys
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent ended before the child began")
os.execv(sys.argv[2], sys.argv[2:])
"""


class ChildEnded(FreshetError):
    """A process that others rely on ended by itself; the message has its last words."""


class Child:
    """One program, its output in a file; a context manager that ends it.

    Start it from a thread that lives as long as the child shall: Linux ends the child with that thread.
    """

    def __init__(
        self, name: str, command: Sequence[str], log_path: Path, variables: Mapping[str, str] | None = None
    ) -> None:
        """Starts the program, away from the terminal's Ctrl-C: its parent ends it in order."""
        self.name = name
        self.log_path = log_path
        with log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs, no shell
                [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *command],
                cwd=log_path.parent,
                env=None if variables is None else {**os.environ, **variables},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def status(self) -> int | None:
        """Its exit status; None while it runs."""
        return self._process.poll()

    def check(self) -> None:
        """Raises ChildEnded if it runs no more."""
        if self._process.poll() is not None:
            raise ChildEnded(f"{self.name} ended with status {self._process.returncode}: {self.last_words()}")

    def last_words(self) -> str:
        """The end of what it printed."""
        return self.log_path.read_text(errors="replace")[-1500:].strip() or "it printed nothing"

    def kill(self) -> None:
        """Ends it at once, as a crash would."""
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def terminate(self) -> None:
        """Asks it to end, and does not wait."""
        if self._process.poll() is None:
            self._process.terminate()

    def wait(self) -> int:
        """Waits until it ends by itself and returns its exit status."""
        return self._process.wait()

    def stop(self, patience_s: float = 15.0) -> None:
        """Asks it to end, and ends it where it does not. Stopping twice does nothing."""
        if self._process.poll() is None:
            self.terminate()
            try:
                self._process.wait(patience_s)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def freshet_command(*arguments: str) -> list[str]:
    """The command line of another Freshet command in this very environment."""
    return [sys.executable, "-m", "cli.main", *arguments]

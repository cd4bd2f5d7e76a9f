"""Processes of Freshet that start at once: forked from a server that has imported everything already.

They are as real as others: own process id, own signals, own output. Only the seconds that Python takes to import
torch are left out, so that a test can end many of them in the midst of their work.
"""

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from cli.children import Child

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["cli.main", "cli.learn_live", "stream.worker", "serving.server", "transformers.models.bert.modeling_bert"]
)


class ForkedChild(Child):
    """One `freshet` command, its output in a file."""

    def __init__(self, name: str, arguments: Sequence[str], log_path: Path, variables: Mapping[str, str]) -> None:
        self.name = name
        self.log_path = log_path
        log_path.touch()
        self._process = _Forked(list(arguments), log_path, dict(variables))


class _Forked:
    """What `Child` wants of a process."""

    def __init__(self, *arguments: object) -> None:
        self._of = SERVER.Process(target=_run, args=arguments)
        self._of.start()
        self.pid = self._of.pid

    def poll(self) -> int | None:
        return self._of.exitcode

    def terminate(self) -> None:
        self._of.terminate()

    def wait(self, timeout: float | None = None) -> int:
        self._of.join(timeout)
        if self._of.exitcode is None:
            raise subprocess.TimeoutExpired("freshet", timeout or 0)
        return self._of.exitcode


def _run(arguments: list[str], log_path: Path, variables: dict[str, str]) -> None:
    """Is the forked process."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # ends with the server, which ends with the test
    os.setsid()
    log = os.open(log_path, os.O_WRONLY | os.O_APPEND)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.environ.update(variables)
    os.chdir(log_path.parent)
    sys.argv = ["freshet", *arguments]
    from cli.main import main

    tqdm.set_lock(threading.RLock())  # its own lock is between processes, and a killed one would leave it behind
    main()

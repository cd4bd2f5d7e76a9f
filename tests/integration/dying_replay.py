"""A replay that kills itself, as `kill -9` would, after so many batches. Run it in a process of its own."""

import os
import signal
from contextlib import contextmanager

from cli import replay_run
from cli.replay_run import Wanted, rebuild
from stream import log_spans
from stream import replay as replaying


class TakenOver:
    """An encoder of a known version that encodes nothing: every vector is to be taken over."""

    dimension = 384

    def __init__(self, version: str) -> None:
        self.version = version

    def encode(self, texts):
        if texts:
            raise AssertionError(f"{len(texts)} texts were not taken over")
        return []


def replay_and_die(wanted: Wanted, version: str, batches: int) -> None:
    """Replays in small batches, with a note of how far it is now and then, and dies in the middle."""
    log_spans.BATCH, replaying.SAVE_EVERY = 9, 40

    def dying(_: int) -> None:
        nonlocal batches
        batches -= 1
        if not batches:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def counted(*_: object):
        yield dying

    setattr(replay_run, "counted", counted)  # noqa: B010 - the name is its own by an import
    rebuild(wanted, lambda: TakenOver(version))

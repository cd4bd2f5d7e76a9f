"""A replay that kills itself, as `kill -9` would, after so many batches. Arguments: generation, batches, settings."""

import json
import os
import signal
import sys
from contextlib import contextmanager

from cli import replay_run
from cli.replay_run import Wanted, rebuild
from domain.settings import StreamSettings, load_settings
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


def main(generation: str, batches: int, version: str, overrides: dict[str, object]) -> None:
    """Replays in small batches, with few notes of how far it is, and dies in the middle."""
    log_spans.BATCH, replaying.SAVE_EVERY = 9, 40
    live = load_settings(StreamSettings, **overrides)
    into = load_settings(StreamSettings, **overrides, generation=generation)

    def dying(_: int) -> None:
        nonlocal batches
        batches -= 1
        if not batches:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def counted(*_: object):
        yield dying

    replay_run.counted = counted
    rebuild(Wanted(live, into), lambda: TakenOver(version))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))

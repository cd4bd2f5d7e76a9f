"""Dead letters: what could not be decoded or applied, with its raw bytes, why, and where it came from."""

import time
from collections import deque

from domain.errors import EventError, FreshetError
from domain.log_reader import Record
from domain.topics import ORIGINAL_HEADER
from stream.outbox import Write

WATCHED = 1_000
"""The guard looks at this many records, and says nothing before it has seen that many."""

DETAIL_LIMIT = 500


def dead_letter(topic: str, record: Record, error: EventError) -> Write:
    """Returns the dead letter of a record: its own key and bytes, and the reason and origin as headers."""
    headers = [
        ("reason", error.reason.encode()),
        ("detail", str(error)[:DETAIL_LIMIT].encode()),
        ("topic", record.topic.encode()),
        ("partition", str(record.partition).encode()),
        ("offset", str(record.offset).encode()),
        ("failed_at", str(time.time_ns() // 1_000_000).encode()),
    ]
    # A replay restores these: a header of ours may say how the record counts.
    headers += [(ORIGINAL_HEADER + name, raw) for name, raw in record.headers]
    return Write(topic, record.key, record.value, headers=headers)


class TooManyDeadLetters(FreshetError):
    """Most of what arrives is refused: rather the code or its settings are wrong than the data."""


class DeadLetterGuard:
    """Stops the worker before bad code or settings drain a topic into the dead letters."""

    def __init__(self, max_share: float) -> None:
        self._max_share = max_share
        self._recent: deque[bool] = deque(maxlen=WATCHED)
        self._dead = 0

    def saw(self, good: int, dead: int) -> None:
        """Counts records.

        Raises:
            TooManyDeadLetters: of the last WATCHED records too large a share was refused.
        """
        for is_dead in [False] * min(good, WATCHED) + [True] * min(dead, WATCHED):
            if len(self._recent) == WATCHED:
                self._dead -= self._recent[0]
            self._recent.append(is_dead)
            self._dead += is_dead
        if len(self._recent) == WATCHED and self._dead > self._max_share * WATCHED:
            raise TooManyDeadLetters(
                f"{self._dead} of the last {WATCHED} records were refused (FRESHET_DEAD_LETTER_MAX_SHARE="
                f"{self._max_share}). See `freshet dead-letters list`, mend the cause, start the worker again."
            )

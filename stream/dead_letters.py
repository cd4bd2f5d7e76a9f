"""Dead letters: what could not be decoded or applied, with its raw bytes, why, and where it came from."""

import time
from collections import deque
from collections.abc import Sequence

from domain.errors import EventError, FreshetError
from domain.log_reader import Record
from domain.topics import ORIGINAL_HEADER
from stream.outbox import Write

WATCHED = 1_000
"""The guard looks at this many records, and says nothing before it has seen that many."""

DETAIL_LIMIT = 500

Refused = Sequence[tuple[Record, EventError]]
"""Records that could not be used, and why."""


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
    # Without a key there is nothing to choose a partition by; and aiokafka refuses to choose one for a record
    # that has no value either, which may lie in `interactions` all the same.
    partition = record.partition if record.key is None else None
    return Write(topic, record.key, record.value, partition, headers)


class TooManyDeadLetters(FreshetError):
    """Most of what arrives is refused: rather the code or its settings are wrong than the data."""


class DeadLetterGuard:
    """Stops the worker before bad code or settings drain a topic into the dead letters.

    It looks at a batch before anything of it is written, so the batch that goes too far leaves no dead
    letter and is not committed: however often a supervisor starts the worker again, it stops there again.
    """

    def __init__(self, max_share: float, max_in_a_row: int) -> None:
        self._max_share = max_share
        self._max_in_a_row = max_in_a_row
        self._recent: deque[bool] = deque(maxlen=WATCHED)
        self._in_a_row: dict[str, int] = {}

    def saw(self, records: Sequence[Record], refused: Refused) -> None:
        """Counts the records of one batch, in the order in which they lie.

        Raises:
            TooManyDeadLetters: too many of a topic's records in a row were refused, or too large a share of
                the last WATCHED of all topics.
        """
        if not records:
            return
        topic = records[0].topic
        if not refused:  # as nearly always, and quick
            self._in_a_row[topic] = 0
            self._recent.extend([False] * min(len(records), WATCHED))
            return
        dead = {record.offset for record, _ in refused}
        longest = run = self._in_a_row.get(topic, 0)
        for record in records:
            is_dead = record.offset in dead
            run = run + 1 if is_dead else 0
            longest = max(longest, run)
            self._recent.append(is_dead)
        self._in_a_row[topic] = run
        lately = sum(self._recent)
        if self._max_in_a_row and longest > self._max_in_a_row:
            self._stop(f"{longest} records of {topic} in a row", "MAX_IN_A_ROW", self._max_in_a_row, refused)
        if len(self._recent) == WATCHED and lately > self._max_share * WATCHED:
            self._stop(f"{lately} of the last {WATCHED} records", "MAX_SHARE", self._max_share, refused)

    def _stop(self, what: str, setting: str, bound: float, refused: Refused) -> None:
        record, error = refused[-1]
        raise TooManyDeadLetters(
            f"{what} were refused (FRESHET_DEAD_LETTER_{setting}={bound}), the last at"
            f" {record.topic}/{record.partition}@{record.offset}: {str(error)[:DETAIL_LIMIT]}. Nothing of this batch is"
            " written or committed. See the log and `freshet dead-letters list`; mend the cause, or raise the setting"
            " if the data is to be refused; then start the worker again"
        )

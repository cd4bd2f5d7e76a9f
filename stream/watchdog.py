"""Ends a worker that is stuck: records wait for it, Kafka answers, and still nothing moves.

A thread of its own, which asks Kafka over connections of its own, because a stuck worker cannot be asked:
its event loop may be blocked, its consumer may have lost its place, a write may never be answered. The
process then ends, and its supervisor starts it again from its last commit. Whether Kafka is away is no
question for it: then nothing can move, and a restart would not help.
"""

import faulthandler
import logging
import os
import threading
import time
from collections.abc import Callable, Collection

from kafka import TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError

from domain.settings import StreamSettings
from stream.backlog import READ_TOPICS, Backlogs, Waiting, backlogs, oldest_waiting

log = logging.getLogger(__name__)

EXIT_STUCK = 75
"""Exit code (EX_TEMPFAIL) of a worker that stood still."""

LOOKS = 4
"""Looks in one FRESHET_STUCK_AFTER_S: a stuck worker ends after that time and at most a quarter more."""

TIMEOUT_MS = 5_000
"""A Kafka that takes longer to answer counts as away."""

LAST_WORDS_S = 5.0
"""How long the last words may take: what blocks the worker may be the very pipe that it logs to."""

Owned = Callable[[], Collection[tuple[str, int]]]
"""Gives topic and partition of all that this worker was assigned."""


class Steps:
    """Counts what a worker gets done. Many threads may look at it, one takes the steps."""

    def __init__(self) -> None:
        self.taken = 0

    def take(self) -> None:
        """Notes that the worker got on."""
        self.taken += 1


class Stillness:
    """Judges, look by look, whether a worker stands still. Pure: the times and the numbers are handed in."""

    def __init__(self, stuck_after_s: float) -> None:
        self._stuck_after_s = stuck_after_s
        self._steps = -1
        self._since: dict[TopicPartition, tuple[float, int]] = {}

    def moved(self, steps: int) -> bool:
        """Whether the worker took a step since the last look; whatever was suspected is then forgotten."""
        moved = steps != self._steps
        self._steps = steps
        if moved:
            self._since.clear()
        return moved

    def stuck(self, now_s: float, owned: Collection[tuple[str, int]], found: Backlogs) -> list[TopicPartition]:
        """Returns the partitions whose backlog has not moved for too long.

        Those of others are none of its business, unless it owns none and nobody moves any: it should have been
        given some then.
        """
        self._since = {
            place: self._since[place] if self._since.get(place, (0, -1))[1] == backlog.read else (now_s, backlog.read)
            for place, backlog in found.items()
            if backlog.records and (not owned or place in owned)
        }
        still = [place for place, (since, _) in self._since.items() if now_s - since >= self._stuck_after_s]
        return still if owned or len(still) == len(self._since) else []


class Watchdog:
    """Looks at a worker again and again, from a thread of its own."""

    def __init__(self, settings: StreamSettings, steps: Steps, owned: Owned) -> None:
        """Watches nothing before `start`.

        Args:
            settings: which Kafka, and how long is too long.
            steps: what the worker gets done.
            owned: what the worker was assigned.
        """
        self._settings = settings
        self._steps = steps
        self._owned = owned
        # What is done counts as waiting until it is committed.
        self._stillness = Stillness(settings.stuck_after_s + settings.commit_interval_s)

    def start(self) -> None:
        """Begins to look."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def _watch(self) -> None:
        while True:
            time.sleep(self._settings.stuck_after_s / LOOKS)
            try:
                self._look()
            except Exception as error:  # whatever keeps it from looking is no proof that the worker is stuck
                level = logging.WARNING if isinstance(error, KafkaError | OSError) else logging.ERROR
                log.log(level, "cannot look what waits for this worker: %s: %s", type(error).__name__, error)

    def _look(self) -> None:
        if self._stillness.moved(self._steps.taken):
            return
        timeouts = {"bootstrap_timeout_ms": TIMEOUT_MS, "request_timeout_ms": TIMEOUT_MS}
        admin = KafkaAdminClient(**self._settings.kafka_options(), **timeouts)
        try:
            found = backlogs(admin, self._settings, dict.fromkeys(READ_TOPICS, self._settings.partitions))
        finally:
            admin.close()
        log.debug("%d records wait for the workers", sum(one.records for one in found.values()))
        stuck = {place: found[place] for place in self._stillness.stuck(time.monotonic(), self._owned(), found)}
        waiting = oldest_waiting(self._settings, stuck)  # a backlog may hold no record at all
        if waiting and not self._stillness.moved(self._steps.taken):
            self._end(min(waiting, key=lambda one: one.arrived_ms), sum(one.records for one in stuck.values()))

    def _end(self, oldest: Waiting, records: int) -> None:
        why = (
            f"this worker is stuck: {records:,} records wait, the oldest at {oldest.topic}/{oldest.partition}"
            f"@{oldest.offset}, and for {self._settings.stuck_after_s:g} s nothing was written or committed, though"
            " Kafka answers (FRESHET_STUCK_AFTER_S); ending it, so that it starts again from its last commit"
        )
        words = threading.Thread(target=_last_words, args=(why,), daemon=True)
        words.start()
        words.join(LAST_WORDS_S)
        os._exit(EXIT_STUCK)


def _last_words(why: str) -> None:
    log.critical(why)
    faulthandler.dump_traceback()  # where each thread stands
    logging.shutdown()

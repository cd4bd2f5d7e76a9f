"""A system whose processes are ended at random moments while a log flows, and the hashes that show what came of it."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress

from kafka import KafkaConsumer, TopicPartition

from cli.children import Child
from cli.kafka_clients import connected
from cli.model_store import fetch, list_versions
from domain.settings import ServingSettings, load_settings
from domain.topics import ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, USER_PROFILES
from embeddings.exact_index import ExactIndex
from learning.ranker import Ranker
from serving.features import NAMES
from serving.read_model import ReadModel
from serving.state_hash import state_hashes
from tests.feeding import Fed, Feed
from tests.integration.test_emitter import read_topic
from tests.system import System

SESSION_S = 6.0
"""The shortest that Apache Kafka allows."""


class Havoc:
    """Ends workers, replica and learner in many ways, and starts others in their place.

    Attributes:
        ended: how many processes were ended, by way and kind.
    """

    def __init__(self, system: System, seed: int, learner: bool = True) -> None:
        self._system = system
        self._rng = random.Random(seed)
        self._workers: list[Child] = []
        self._others: dict[str, Child] = {}
        self._kinds = ["replica", "learner"] if learner else ["replica"]
        self._stopped: list[tuple[float, Child]] = []
        self._told: list[Child] = []
        self.ended: Counter[str] = Counter()

    def kills(self) -> int:
        return sum(count for what, count in self.ended.items() if what.startswith("killed"))

    def wreak(self, feed: Feed, kills: int, longest_s: float) -> None:
        """Goes on until that many more processes were killed; the workers are one, two, three and one again."""
        step, before = 0, self.kills()
        while self.kills() - before < kills:
            workers = (1, 2, 3)[step % 3]
            self.settle(workers)
            self._await_moment(feed, longest_s, workers)
            for worker in self._rng.sample(self._workers, self._rng.randint(1, len(self._workers))):
                self._end_worker(worker)
            for kind in self._kinds:
                if self._rng.random() < 0.4 and kind in self._others:
                    self._others.pop(kind).kill()
                    self.ended[f"killed {kind}"] += 1
            step += 1

    def _await_moment(self, feed: Feed, longest_s: float, workers: int) -> None:
        """One time in four whatever they are at, such as starting; else soon after they wrote profiles again."""
        if self._rng.random() < 0.75:
            before = self._written()

            def wrote() -> bool:
                if not any(one.status() is None for one in self._workers):
                    self.settle(workers)  # who came back as a zombie was the only one, and ended
                return self._written() > before or not feed.is_sending()

            self._system.until(wrote)
        time.sleep(self._rng.uniform(0, longest_s))

    def _written(self) -> int:
        settings = self._system.settings
        places = [TopicPartition(settings.topic(USER_PROFILES), one) for one in range(settings.partitions)]
        with connected(KafkaConsumer, settings, group_id=None) as consumer:
            return sum(consumer.end_offsets(places).values())

    def settle(self, workers: int) -> None:
        """So many workers, and the others, run or are starting; whoever was stopped for long enough is back."""
        for since, child in list(self._stopped):
            if time.monotonic() - since > 1.5 * SESSION_S:
                self._resume(since, child)
        alive = [one for one in self._workers if one.status() is None]
        self.ended["ended by itself worker"] += len(self._workers) - len(alive)  # a zombie, or more than that
        self._workers = alive
        while len(self._workers) > workers:
            self._tell_to_end(self._workers.pop(0))
        while len(self._workers) < workers:
            self._workers.append(self._system.start_worker(session_timeout_s=SESSION_S))
        if "replica" not in self._others:
            self._others["replica"] = self._system.start_replica(wait=False, search=False)
        if "learner" not in self._others and "learner" in self._kinds:
            self._others["learner"] = self._system.start_learner()

    def calm_down(self) -> None:
        """One worker, one replica, one learner; nobody is stopped any more, and who was told to end has ended."""
        while self._stopped:
            since, child = self._stopped[0]
            self._system.until(lambda: time.monotonic() - since > 1.5 * SESSION_S)  # noqa: B023
            self._resume(since, child)
        self.settle(1)
        self._system.until(lambda: all(one.status() is not None for one in self._told))
        self._system.until(self._system.is_ready)

    def _end_worker(self, worker: Child) -> None:
        self._workers.remove(worker)
        way = self._rng.choices(["killed", "told to end", "stopped"], [8, 1, 1])[0]
        if way == "told to end":
            self._tell_to_end(worker)
            return
        self.ended[f"{way} worker"] += 1
        if way == "killed":
            worker.kill()
        else:
            os.kill(worker.pid, signal.SIGSTOP)
            self._stopped.append((time.monotonic(), worker))

    def _tell_to_end(self, worker: Child) -> None:
        worker.terminate()
        self._told.append(worker)
        self.ended["told to end worker"] += 1

    def _resume(self, since: float, child: Child) -> None:
        """Its session is over, others have its partitions; it may end, or come back as one more worker."""
        self._stopped.remove((since, child))
        os.kill(child.pid, signal.SIGCONT)
        self._workers.append(child)

    def check_learner(self, events: int) -> None:
        """The learner, killed or not, has published weights that are whole; told to end, it ends well."""
        learner = self._others["learner"]

        def learned() -> int:
            active = [one for one, is_active in list_versions(self._system.settings, "ranker") if is_active]
            return Ranker.from_bytes(fetch(self._system.settings, "ranker"), NAMES).learned if active else 0

        self._system.until(lambda: learned() > 0)
        learner.stop(60)
        assert learner.status() == 0, learner.last_words()
        assert learned() <= events, "a repeated event is learned from once"


def calm_hashes(system: System, log: Sequence[Fed], changes: Sequence[Fed] = ()) -> list[dict[str, str]]:
    """What the log leads to where nothing happens, and what the changes after it."""
    worker = system.start_worker()
    found = []
    for part in (log, changes):
        Feed(system, part).drain()
        found.append(system.hashes())
    worker.stop()
    return found


def hashes_under_fire(
    system: System, havoc: Havoc, feed: Feed, kills: int, wanted: dict[str, str], longest_s: float = 1.0
) -> dict[str, dict[str, str]]:
    """Wreaks havoc while a log flows; what the topics, the replica and the compacted topics then hold.

    Replicas and who mends need a moment beyond what the workers have committed, so `wanted` is waited for.
    """
    havoc.wreak(feed, kills, longest_s)
    havoc.calm_down()
    feed.drain(lambda: havoc.settle(1))  # who comes back as a zombie may be the last one, and end
    told = {
        "topics": system.hashes,
        "replica": system.replica_hashes,
        "compacted": lambda: compacted_hashes(system),
    }
    for one in told.values():
        with suppress(AssertionError):  # it is the caller who compares
            system.until(lambda: one() == wanted, 30)  # noqa: B023
    return {name: one() for name, one in told.items()}


def compacted_hashes(system: System) -> dict[str, str]:
    """The state as it is once Kafka has kept only the last record of each key."""
    model = ReadModel(load_settings(ServingSettings, **system.overrides), ExactIndex(384))
    for name in (ITEMS, ITEM_EMBEDDINGS, ITEM_SIGNALS, USER_PROFILES):
        records = read_topic(system.settings, name)
        model.apply(list({(one.partition, one.key): one for one in records}.values()))
    return state_hashes(model)

"""A log as producers really send it, and a system whose processes are ended at random moments while it flows."""

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient

from cli.children import Child
from cli.kafka_clients import connected, with_coordinator
from cli.model_store import fetch, list_versions
from domain.interactions import Interaction
from domain.items import Item
from domain.settings import ServingSettings, load_settings
from domain.topics import INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS, ITEMS, USER_PROFILES
from domain.topics import USERS as USER_CHANGES
from domain.users import UserChange
from embeddings.exact_index import ExactIndex
from freshet import Emitter
from learning.ranker import Ranker
from serving.features import NAMES
from serving.read_model import ReadModel
from serving.state_hash import state_hashes
from tests.integration.test_emitter import read_topic
from tests.system import System

DAY_MS = 86_400_000
GROUP = "freshet-stream"
USERS = [f"user-{n}" for n in range(40)]
ITEM_IDS = [f"item-{n}" for n in range(24)]
SESSION_S = 6.0
"""The shortest that Apache Kafka allows."""

BURST = 50
"""Records sent without a pause."""

Fed = Interaction | Item | UserChange
"""What is sent; an item without a title stands for its deletion."""


def log_of(seed: int, events: int, now_ms: int) -> list[Fed]:
    """Events of the last day, one in five late by up to an hour, neighbours shuffled; items change in between."""
    rng = random.Random(seed)
    log: list[Fed] = [
        Interaction(
            event_id=f"s{seed}-{n}",
            type=rng.choice(["view", "click", "like", "impression"]),
            user_id=rng.choice(USERS),
            item_id=rng.choice(ITEM_IDS),
            event_time=now_ms - DAY_MS + n * 1000 - (rng.randrange(3_600_000) if rng.random() < 0.2 else 0),
        )
        for n in range(events)
    ]
    for at in range(0, events, 20):
        window = log[at : at + 20]
        rng.shuffle(window)
        log[at : at + 20] = window
    for n in range(events // 20):
        item_id = rng.choice(ITEM_IDS)
        title = "" if rng.random() < 0.2 else f"Edition {n} of {item_id}, a story about {rng.choice(USERS)}"
        log.insert(rng.randrange(len(log)), Item(item_id=item_id, title=title))
    return [*(Item(item_id=one, title=f"First edition of {one}") for one in ITEM_IDS), *log]


def changes_of(seed: int, now_ms: int) -> list[Fed]:
    """Guests log in, two of them as the same user; some are erased, some opt out. For when the log has been read."""
    users = random.Random(seed).sample(USERS, 20)
    changes: list[Fed] = []
    for at, user in enumerate(users[:12]):
        changes.append(UserChange(user_id=user, action="merge", event_time=now_ms, target=users[12 + at // 2 % 4]))
    changes += [UserChange(user_id=user, action="erase", event_time=now_ms - DAY_MS + 10**6) for user in users[16:18]]
    return changes + [UserChange(user_id=user, action="opt_out", event_time=now_ms) for user in users[18:]]


def as_producers_send(log: Sequence[Fed], seed: int) -> list[Fed]:
    """The log with one event in ten once more at some later time, and each tenth batch of twenty sent twice."""
    rng = random.Random(seed)
    sent: list[Fed] = []
    for at, one in enumerate(log):
        sent.append(one)
        earlier = rng.choice(log[max(0, at - 1000) : at + 1])
        if isinstance(earlier, Interaction) and rng.random() < 0.1:
            sent.append(earlier)
        if at % 200 == 199:  # the answer to a batch was lost, so it goes again
            sent += [again for again in log[at - 19 : at + 1] if isinstance(again, Interaction)]
    return sent


class Feed:
    """Sends a log from a thread of its own, at a pace until it is told to hurry."""

    def __init__(self, system: System, log: Sequence[Fed], per_second: float = 1e9) -> None:
        self._system = system
        self._hurry = Event()
        self._pool = ThreadPoolExecutor(1)
        self._sent: Counter[tuple[str, int]] = Counter()
        self._done = self._pool.submit(self._send, log, BURST / per_second)

    def _send(self, log: Sequence[Fed], pause_s: float) -> None:
        with Emitter(self._system.settings) as emitter:
            deliveries = []
            for at, one in enumerate(log):
                if isinstance(one, Interaction):
                    deliveries.append((INTERACTIONS, emitter.emit(one)))
                elif isinstance(one, UserChange):
                    deliveries.append((USER_CHANGES, emitter.change_user(one)))
                elif one.title:
                    deliveries.append((ITEMS, emitter.emit_item(one)))
                else:
                    deliveries.append((ITEMS, emitter.delete_item(one.item_id)))
                if at % BURST == 0 and pause_s > 1e-6:
                    self._hurry.wait(pause_s)
            emitter.flush(60)
            for topic, delivery in deliveries:
                position = delivery.position()
                self._sent[topic, position.partition] = max(position.offset + 1, self._sent[topic, position.partition])

    def is_sending(self) -> bool:
        return not self._done.done()

    def drain(self) -> None:
        """Sends the rest and waits until the workers have committed all of it: then all its effects are durable."""
        self._hurry.set()
        self._done.result(120)
        self._pool.shutdown()
        with connected(KafkaAdminClient, self._system.settings) as admin:
            self._system.until(lambda: not self._missing(admin), 120)

    def _missing(self, admin: KafkaAdminClient) -> bool:
        settings = self._system.settings
        group = settings.topic(GROUP)
        committed = with_coordinator(admin.list_group_offsets, [group])[group]
        read = {(one.topic, one.partition): at.offset for one, at in committed.items()}
        return any(read.get((settings.topic(topic), one), 0) < end for (topic, one), end in self._sent.items())


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
            self.settle((1, 2, 3)[step % 3])
            self._await_moment(feed, longest_s)
            for worker in self._rng.sample(self._workers, self._rng.randint(1, len(self._workers))):
                self._end_worker(worker)
            for kind in self._kinds:
                if self._rng.random() < 0.4 and kind in self._others:
                    self._others.pop(kind).kill()
                    self.ended[f"killed {kind}"] += 1
            step += 1

    def _await_moment(self, feed: Feed, longest_s: float) -> None:
        """One time in four whatever they are at, such as starting; else soon after they wrote profiles again."""
        if self._rng.random() < 0.75:
            before = self._written()
            self._system.until(lambda: self._written() > before or not feed.is_sending())
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
        self._workers = [one for one in self._workers if one.status() is None]
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

    A merge sends events again, which takes a moment beyond the end of what was fed: `wanted` is waited for.
    """
    havoc.wreak(feed, kills, longest_s)
    havoc.calm_down()
    feed.drain()
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

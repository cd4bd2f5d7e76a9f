"""A log as producers really send it: late, shuffled, repeated; and a thread that sends it to a system."""

import random
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event

from kafka.admin import KafkaAdminClient

from cli.kafka_clients import connected, with_coordinator
from domain.interactions import Interaction
from domain.items import Item
from domain.topics import INTERACTIONS, ITEMS, STREAM_GROUP
from domain.topics import USERS as USER_CHANGES
from domain.users import UserChange
from freshet import Emitter
from stream.backlog import committed
from tests.integration.test_emitter import read_topic
from tests.system import System

DAY_MS = 86_400_000
USERS = [f"user-{n}" for n in range(40)]
ITEM_IDS = [f"item-{n}" for n in range(24)]
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

    def drain(self, supervise: Callable[[], None] = lambda: None) -> None:
        """Sends the rest and waits until the workers have committed all of it: then all its effects are durable.

        Meanwhile `supervise` is called, as a supervisor looks whether workers run.
        """

        def is_drained() -> bool:
            supervise()
            return not self._missing(admin)

        self._hurry.set()
        self._done.result(120)
        self._pool.shutdown()
        with connected(KafkaAdminClient, self._system.settings) as admin:
            self._system.until(is_drained, 120)
            for one in read_topic(self._system.settings, INTERACTIONS):  # what merges have sent again lies here as well
                self._sent[INTERACTIONS, one.partition] = one.offset + 1
            self._system.until(is_drained, 120)

    def _missing(self, admin: KafkaAdminClient) -> bool:
        settings = self._system.settings
        group = settings.topic(STREAM_GROUP)
        read = {(one.topic, one.partition): at for one, at in with_coordinator(committed, admin, group).items()}
        return any(read.get((settings.topic(topic), one), 0) < end for (topic, one), end in self._sent.items())

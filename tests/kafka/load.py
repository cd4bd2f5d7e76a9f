"""Clicks that go on coming whatever happens to the broker, and what must have become of them."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Iterator

import httpx
from msgspec.structs import replace

from domain.clock import system_clock
from domain.codecs import unpack
from domain.interactions import INTERACTION_TYPES, Interaction
from domain.items import Item
from domain.log_reader import Record
from domain.profile import Profile
from domain.settings import KafkaSettings, ServingSettings
from domain.topics import INTERACTIONS, USER_PROFILES
from embeddings.exact_index import ExactIndex
from freshet import Emitter
from serving.read_model import ReadModel
from serving.state_hash import state_hashes
from stream.partition_state import PartitionState
from stream.profile_updates import Rules, apply_interactions
from tests.builders import derived_records
from tests.integration.test_emitter import read_topic
from tests.system import System

PROFILE_SIZE = 2000
"""So large that no profile of these tests is full: what a profile holds is then all that its user did."""

ITEMS = [Item(item_id=f"i{n}", title=f"Item {n} about ships", published_at=1) for n in range(20)]


class Load:
    """Two producers with clicks of their own: an Emitter, and HTTP requests that are repeated until accepted.

    Attributes:
        sent: how many clicks each has handed over so far, by its name.
        refused: HTTP requests that were answered 503 so far.
        accepted: the ids of the clicks that Kafka has, by user.
    """

    def __init__(self, settings: KafkaSettings, url: str, seed: int) -> None:
        self._settings = settings
        self._url = url
        self._seed = seed
        self._stop = threading.Event()
        self.sent = {"emitter": 0, "http": 0}
        self.refused = 0
        self.accepted: dict[str, set[str]] = defaultdict(set)
        self._failures: list[BaseException] = []
        self._threads = [threading.Thread(target=self._run, args=(one,)) for one in (self._emit, self._post)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stops the clicks; each that was handed over is in Kafka then."""
        self._stop.set()
        for thread in self._threads:
            thread.join(120)
        for failure in self._failures:
            raise failure

    def _run(self, produce) -> None:
        try:
            produce()
        except BaseException as failure:
            self._failures.append(failure)

    def _emit(self) -> None:
        with Emitter(self._settings) as emitter:
            for click in self._clicks("emitter"):
                emitter.emit(click)
                self.sent["emitter"] += 1
                self.accepted[click.user_id].add(click.event_id)
                time.sleep(0.004)  # some 200 a second
            emitter.flush(100)

    def _post(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30) as client:
            for click in self._clicks("http"):
                body = {name: getattr(click, name) for name in ("event_id", "type", "user_id", "item_id", "event_time")}
                while (answer := client.post("/v1/events", json=body)).status_code == 503:
                    self.refused += 1
                    time.sleep(0.05)
                assert answer.json()["accepted"] == 1, answer.text
                self.sent["http"] += 1
                self.accepted[click.user_id].add(click.event_id)

    def _clicks(self, name: str) -> Iterator[Interaction]:
        chance = random.Random(f"{name}{self._seed}")
        at = 0
        while not self._stop.is_set():
            yield Interaction(
                event_id=f"{name}-{self._seed}-{at}",
                type=chance.choice(["view", "click", "like"]),
                user_id=f"user-{chance.randrange(40)}",
                item_id=chance.choice(ITEMS).item_id,
                event_time=system_clock(),
            )
            at += 1


def expected_hashes(settings: KafkaSettings, profile_size: int = PROFILE_SIZE) -> dict[str, str]:
    """What profiles and signals must be: the log in Kafka, each partition read once from beginning to end."""
    rules = Rules(INTERACTION_TYPES, profile_size)
    logs: dict[int, list[Record]] = defaultdict(list)
    for record in read_topic(settings, INTERACTIONS):
        logs[record.partition].append(record)
    model = ReadModel(ServingSettings(topic_prefix=""), ExactIndex(384))
    for partition, log in logs.items():
        outcome = apply_interactions(PartitionState(), log, rules)
        model.apply([replace(one, partition=partition) for one in derived_records(outcome)])
    return behaviour(state_hashes(model))


def remembered(settings: KafkaSettings) -> dict[str, list[str]]:
    """The event ids that each user's newest profile in Kafka holds, sorted."""
    newest = {record.key.decode(): record.value for record in read_topic(settings, USER_PROFILES)}
    return {user: sorted(touch.event_id for touch in unpack(raw, Profile).touches) for user, raw in newest.items()}


def behaviour(hashes: dict[str, str]) -> dict[str, str]:
    """Of the hashes, those of what events change."""
    return {name: hashes[name] for name in ("item-signals", "user-profiles")}


def check_all_is_there_once(system: System, load: Load) -> None:
    """State of topics and replica are what the log says, and users' profiles hold what was accepted, each once."""
    expected = expected_hashes(system.settings)
    try:
        system.until(lambda: behaviour(system.replica_hashes()) == expected)
    except AssertionError as failure:
        failure.add_note(differences(system, expected, load))
        raise
    assert behaviour(system.hashes()) == expected
    assert remembered(system.settings) == {user: sorted(ids) for user, ids in load.accepted.items()}


def differences(system: System, expected: dict[str, str], load: Load) -> str:
    """What a state that is not the log's differs in: which of the hashes, and whose events."""
    profiles = remembered(system.settings)
    events = {user: ids ^ set(profiles.get(user, ())) for user, ids in load.accepted.items()}
    states = {
        "the log, as it was": expected,
        "the log, now": expected_hashes(system.settings),
        "topics": behaviour(system.hashes()),
        "the replica": behaviour(system.replica_hashes()),
        "events that only Kafka or only a profile has": {user: sorted(ids) for user, ids in events.items() if ids},
    }
    return "\n".join(f"{name}: {state}" for name, state in states.items())

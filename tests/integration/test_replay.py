"""A replay comes to the state of the worker that lived through it, or of that time; nothing is lost or doubled."""

import asyncio
import random
import signal
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path

import aiokafka
import msgspec
import pytest
from kafka import KafkaProducer, TopicPartition
from kafka.admin import KafkaAdminClient
from kafka.errors import KafkaError
from typer.testing import CliRunner

from cli.kafka_clients import connected
from cli.main import build
from cli.replay_group import GenerationGroups
from cli.replay_plan import make_plan
from cli.replay_run import Wanted, plan_lines, rebuild
from cli.state import hashes_of_topics
from domain.clock import system_clock
from domain.errors import ConfigError, TopicError
from domain.interactions import Interaction
from domain.items import Item
from domain.log_reader import read_to_end
from domain.settings import KafkaSettings, ServingSettings, StreamSettings, load_settings
from domain.topics import DEAD_LETTERS, INTERACTIONS, ITEM_EMBEDDINGS, ITEM_SIGNALS
from domain.users import UserChange
from embeddings.transformer import TransformerEncoder
from freshet import Client, Emitter
from serving.consumers import new_consumer
from stream.replay import SOURCES
from stream.restore import read_profiles
from stream.topic_admin import check_topics, create_topics
from tests.builders import START_MS
from tests.conftest import ONE_BROKER
from tests.forked import SERVER
from tests.integration.dying_replay import replay_and_die
from tests.integration.test_emitter import read_topic
from tests.system import QuickSystem

pytestmark = ONE_BROKER

PEOPLE = [f"user-{n}" for n in range(8)]
SHELF = [Item(item_id=f"i{n}", title=f"A story about number {n}", published_at=1) for n in range(6)]
SIZE = 20
"""What a profile remembers here: less than there is, so that old events are pushed out."""


@pytest.fixture(scope="module")
def encoder() -> TransformerEncoder:
    return TransformerEncoder()


class Lived:
    """A deployment whose worker has lived through clicks, user changes, changed items and bad records."""

    then_ms: int
    then_ends: dict[tuple[str, int], int]
    then_hashes: dict[str, str]
    then_profiles: dict[str, tuple[str, ...]]

    def __init__(self, kafka: str, folder: Path) -> None:
        self.overrides = {
            "bootstrap_servers": kafka,
            "topic_prefix": f"t{uuid.uuid4().hex[:12]}-",
            "partitions": 3,
            "fetch_max_wait_ms": 20,
        }
        self.settings = load_settings(KafkaSettings, **self.overrides)
        create_topics(self.settings)
        self.system = QuickSystem(self.settings, self.overrides, folder)
        self.worker = self.system.start_worker(profile_size=SIZE)
        self._rng = random.Random(7)
        self._sent = 0

    def clicks(self, count: int, people: list[str]) -> list[Interaction]:
        """Clicks of some people in the last hours, in no order; every tenth comes twice."""
        found = []
        for _ in range(count):
            self._sent += 1
            one = Interaction(
                event_id=f"e{self._sent}",
                type=self._rng.choice(["click", "view", "like"]),
                user_id=self._rng.choice(people),
                item_id=self._rng.choice(SHELF).item_id,
                event_time=system_clock() - self._rng.randrange(10_000_000),
            )
            found += [one, one] if self._sent % 10 == 0 else [one]
        return found

    def change(self, user: str, action: str, target: str | None = None) -> None:
        with Emitter(self.settings) as emitter:
            emitter.change_user(UserChange(user_id=user, action=action, event_time=system_clock(), target=target))
        self.settle()

    def send(self, count: int, people: list[str]) -> None:
        self.system.send(self.clicks(count, people))
        self.settle()

    def settle(self, generation: str = "") -> None:
        """Waits until the workers have committed all that is in the log, and what they added to it."""
        settings = self.of(generation)
        with connected(KafkaAdminClient, settings) as admin:
            groups = GenerationGroups(admin, settings)

            def caught_up() -> bool:
                committed = groups.read_by_workers()
                return all(committed.get(place, 0) >= end for place, end in asyncio.run(ends(settings)).items())

            self.system.until(caught_up)

    def of(self, generation: str, **more: object) -> StreamSettings:
        return load_settings(
            StreamSettings, **{**self.overrides, "generation": generation, "profile_size": SIZE, **more}
        )

    def wanted(self, generation: str, **more: object) -> Wanted:
        return Wanted(self.of(""), self.of(generation), **more)

    def hashes(self, generation: str = "") -> dict[str, str]:
        return asyncio.run(hashes_of_topics(load_settings(ServingSettings, **self.overrides, generation=generation)))

    def profiles(self, generation: str = "") -> dict[str, tuple[str, ...]]:
        """The event ids that each user's profile remembers."""
        return asyncio.run(remembered(self.of(generation)))


async def ends(settings: KafkaSettings) -> dict[tuple[str, int], int]:
    """The offset after the last record of each partition of the sources that has any."""
    names = {settings.topic(name): name for name in SOURCES}
    found: dict[tuple[str, int], int] = {}
    consumer = new_consumer(settings)
    await consumer.start()
    try:
        consumer.assign(places(settings, names))
        await read_to_end(
            consumer,
            places(settings, names),
            lambda records: found.update({(names[one.topic], one.partition): one.offset + 1 for one in records}),
        )
    finally:
        await consumer.stop()
    return found


def places(settings: KafkaSettings, names):
    return [aiokafka.TopicPartition(name, partition) for name in names for partition in range(settings.partitions)]


async def remembered(settings: StreamSettings) -> dict[str, tuple[str, ...]]:
    found = {}
    for partition in range(settings.partitions):
        state = await read_profiles(settings, partition)
        found |= {user: tuple(one.event_id for one in state.profile(user).touches) for user in state.profiles}
    return found


@pytest.fixture(scope="module")
def lived(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lived]:
    """First some time, which ends at `then`; then some more."""
    one = Lived(kafka, tmp_path_factory.mktemp("lived"))
    try:
        one.system.send_items(SHELF[:5])
        one.send(250, [*PEOPLE, "guest", "shy", "gone"])
        one.change("user-0", "erase")
        one.change("shy", "opt_out")
        one.change("guest", "merge", "user-1")
        bad = KafkaProducer(**one.settings.kafka_options(), acks="all")
        bad.send(one.settings.topic(INTERACTIONS), key=b"user-2", value=b'{"event_id": ""}').get(10)
        bad.close()
        one.send(60, [*PEOPLE, "guest", "shy"])
        one.then_hashes, one.then_profiles = one.hashes(), one.profiles()
        one.then_ms = system_clock()
        while system_clock() == one.then_ms:
            pass
        one.then_ends = asyncio.run(ends(one.settings))
        one.send(60, PEOPLE)
        one.change("gone", "erase")
        one.change("shy", "opt_in")
        changed = msgspec.structs.replace(SHELF[0], title="Another story altogether")
        one.system.send_items([changed, SHELF[5]])
        with Emitter(one.settings) as emitter:
            emitter.delete_item("i1")
        one.send(60, [*PEOPLE, "shy"])
        yield one
    finally:
        one.system.close()


def test_a_replay_of_the_whole_log_comes_to_the_live_state_and_adds_nothing_else(lived: Lived, encoder):
    before = asyncio.run(ends(lived.settings)), len(read_topic(lived.settings, DEAD_LETTERS))
    done = rebuild(lived.wanted("whole"), lambda: encoder)
    assert lived.hashes("whole") == lived.hashes()
    assert done.refused == {"malformed": 1}
    assert (asyncio.run(ends(lived.settings)), len(read_topic(lived.settings, DEAD_LETTERS))) == before


def test_vectors_are_taken_over_or_made_anew(lived: Lived, encoder):
    assert rebuild(lived.wanted("taken"), lambda: encoder).taken_over == 5
    assert rebuild(lived.wanted("made", encode=True), lambda: encoder).taken_over == 0
    assert lived.hashes("taken") == lived.hashes("made") == lived.hashes()


def test_a_replay_to_a_time_comes_to_the_state_of_then_but_for_what_was_erased_since(lived: Lived, encoder):
    rebuild(lived.wanted("then", until=lived.then_ms), lambda: encoder)
    found = lived.hashes("then")
    assert {name: found[name] for name in (ITEM_SIGNALS, ITEM_EMBEDDINGS)} == {
        name: lived.then_hashes[name] for name in (ITEM_SIGNALS, ITEM_EMBEDDINGS)
    }
    assert lived.then_profiles["gone"]
    assert lived.profiles("then") == lived.then_profiles | {"gone": ()}


def test_a_record_names_a_moment_as_its_time_does(lived: Lived):
    live = asyncio.run(ends(lived.settings))
    since = [one for one in read_topic(lived.settings, INTERACTIONS) if one.timestamp > lived.then_ms]
    first = min(since, key=lambda one: one.timestamp)
    plan = asyncio.run(make_plan(lived.of(""), live, None, (first.partition, first.offset)))
    assert {place: span.stop for place, span in plan.spans.items() if span.count} == lived.then_ends


def test_from_leaves_out_older_interactions_only(lived: Lived, encoder):
    rebuild(lived.wanted("young", since=lived.then_ms), lambda: encoder)
    since = [one for one in read_topic(lived.settings, INTERACTIONS) if one.timestamp > lived.then_ms]
    young = {msgspec.json.decode(one.value)["event_id"] for one in since}
    found = lived.profiles("young")
    assert {event for events in found.values() for event in events} <= young
    assert found["user-3"] == tuple(one for one in found["user-3"] if one in young) != ()
    assert lived.hashes("young")[ITEM_EMBEDDINGS] == lived.hashes()[ITEM_EMBEDDINGS]


def test_a_replay_that_was_killed_again_and_again_goes_on_and_comes_to_the_live_state(lived: Lived, encoder):
    wanted = lived.wanted("killed")
    for batches in (1, 8, 15):
        process = SERVER.Process(target=replay_and_die, args=(wanted, encoder.version, batches))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
    with connected(KafkaAdminClient, wanted.into) as admin:
        reached = GenerationGroups(admin, wanted.into, wanted.decisive()).replayed()
    assert 0 < sum(reached.values()) < sum(asyncio.run(ends(wanted.live)).values())
    assert lived.hashes("killed") != lived.hashes()
    rebuild(wanted, lambda: encoder)
    assert lived.hashes("killed") == lived.hashes()


def test_a_generation_is_made_once_and_from_one_wish(lived: Lived, encoder):
    rebuild(lived.wanted("once"), lambda: encoder)
    with pytest.raises(ConfigError, match="'once' is complete: switch over with FRESHET_GENERATION=once"):
        rebuild(lived.wanted("once"), lambda: encoder)
    create_topics(lived.of("half"), new_generation=True)
    producer = KafkaProducer(**lived.settings.kafka_options(), acks="all")
    producer.send(lived.of("half").topic("user-profiles"), key=b"u", value=None, partition=0).get(10)
    producer.close()
    with pytest.raises(ConfigError, match="'half' holds something, and not from a replay like this one"):
        rebuild(lived.wanted("half"), lambda: encoder)


def test_a_generation_that_nobody_made_is_not_worked_with(lived: Lived):
    for ask in (check_topics, create_topics):
        with pytest.raises(TopicError, match="generation 'typo' does not exist: .*freshet replay --into typo"):
            ask(lived.of("typo"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--into", ""], "is the generation in use"),
        (["--into", "a.b"], "FRESHET_GENERATION"),
        (["--into", "g", "--to", "yesterday"], "--to: expected epoch milliseconds or RFC 3339"),
        (["--into", "g", "--from", "2026-01-02T00:00:00Z", "--to", "2026-01-01T00:00:00Z"], "is not before --to"),
        (["--into", "g", "--to", "2020-01-01T00:00:00Z"], "nothing reached Kafka in that time"),
        (["--into", "g", "--to", "interactions/0@99999999"], "0@99999999 is outside of the log: partition 0 of"),
        (["--into", "g", "--to", "77@0"], "partition 77 of interactions holds nothing"),
    ],
)
def test_what_cannot_be_replayed_is_said(
    lived: Lived, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
):
    for name, value in lived.overrides.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))
    refused = CliRunner().invoke(build(), ["replay", *arguments])
    assert isinstance(refused.exception, ConfigError) and said in str(refused.exception)


def test_a_dry_run_says_what_would_be_done_and_writes_nothing(lived: Lived, monkeypatch: pytest.MonkeyPatch):
    for name, value in lived.overrides.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))
    told = CliRunner().invoke(build(), ["replay", "--into", "dry", "--dry-run"])
    assert told.exit_code == 0, told.output
    count = sum(end for (name, _), end in asyncio.run(ends(lived.settings)).items() if name == INTERACTIONS)
    assert f"interactions {count:,} records" in " ".join(told.output.split())
    assert "WARNING" not in told.output
    with pytest.raises(TopicError):
        check_topics(lived.of("dry"))


def test_what_retention_has_deleted_is_warned_of(settings: KafkaSettings, overrides: dict[str, object]):
    old, new = START_MS, START_MS + 1000
    topic = settings.topic(INTERACTIONS)
    producer = KafkaProducer(**settings.kafka_options(), acks="all")
    for time_ms in (old, old, new, new, new):
        producer.send(topic, key=b"u", value=b"{}", partition=1, timestamp_ms=time_ms).get(10)
    producer.close()
    with connected(KafkaAdminClient, settings) as admin:
        try:
            admin.delete_records({TopicPartition(topic, 1): 2})
        except KafkaError as error:
            pytest.skip(f"this broker deletes no records: {error}")
    live = load_settings(StreamSettings, **overrides)
    plan = asyncio.run(make_plan(live, {(INTERACTIONS, 1): 5}, None, None))
    assert (plan.deleted, plan.oldest_ms, plan.count(INTERACTIONS)) == (2, new, 3)
    told = "\n".join(plan_lines(Wanted(live, live), plan, begun=False))
    assert "The oldest interaction arrived at 2023-11-14T22:13:21.000Z" in told
    assert "WARNING: 2 older interactions were deleted" in told


def test_a_switch_while_events_flow_loses_nothing_and_counts_nothing_twice(lived: Lived, encoder):
    enough = threading.Event()
    flowing = threading.Thread(target=flow, args=(lived, enough))
    flowing.start()
    try:
        rebuild(lived.wanted("next"), lambda: encoder)
        lived.system.start_worker(profile_size=SIZE, generation="next")
        lived.system.start_replica(search=False, generation="next")
    finally:
        enough.set()
        flowing.join()
    lived.settle()
    lived.settle("next")
    assert lived.hashes("next") == lived.hashes()
    assert lived.worker.status() is None
    lived.worker.kill()
    with Client(lived.system.url) as client:
        click = Interaction(event_id="last", type="click", user_id="ann", item_id="i2", event_time=system_clock())
        token = client.send_events([click])[0].token
        assert client.recommend("ann", after=token, wait_ms=2000).fresh
        assert client.profile("ann").interactions == 1


def flow(lived: Lived, enough: threading.Event) -> None:
    """Sends clicks until it is enough, and a merge in the middle of it."""
    merged = False
    with Emitter(lived.settings) as emitter:
        while not enough.is_set():
            for one in lived.clicks(5, PEOPLE):
                emitter.emit(one)
            emitter.flush(30)
            if not merged:
                emitter.change_user(
                    UserChange(user_id="shy", action="merge", event_time=system_clock(), target="user-5")
                )
                merged = True
            enough.wait(0.05)

"""Training and live learning on a real broker: from the topics to what replicas answer with."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from threading import Event, Thread

import msgspec
import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner, Result

from cli import model_store
from cli.learn_live import run as learn
from cli.main import build
from domain.clock import system_clock
from domain.codecs import pack
from domain.exposures import ExposedItem, Exposure
from domain.items import Item
from domain.models import Manifest
from domain.profile import Profile, Touch
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import EXPOSURES, INTERACTIONS, ITEM_EMBEDDINGS, ITEMS, USER_PROFILES
from embeddings.exact_index import ExactIndex
from embeddings.item_embedding import from_vector
from learning.ranker import Ranker
from learning.sequence.config import SequenceConfig
from serving.features import NAMES
from serving.follower import Follower
from serving.pipeline import recommend
from serving.query import Query
from serving.read_model import ReadModel
from tests.integration.test_models import Loop, until
from tests.unit.test_train import ITEMS as CATALOGUE_SIZE
from tests.unit.test_train import MINUTE, Texts, cycle


class Town:
    """A deployment without workers: a test writes to the topics, trains, and asks a replica."""

    def __init__(self, settings: KafkaSettings, overrides: dict[str, object], loop: Loop) -> None:
        self.settings = settings
        self.serving = load_settings(ServingSettings, **overrides)
        self._loop = loop
        self._producer = KafkaProducer(**settings.kafka_options(), acks="all")

    def close(self) -> None:
        self._producer.close()

    def send(self, topic: str, values: Iterable[tuple[str, bytes | None]]) -> None:
        for key, value in values:
            self._producer.send(self.settings.topic(topic), key=key.encode(), value=value)
        self._producer.flush()

    def open(self, events: Iterable[Mapping[str, object]]) -> None:
        """Sends the catalogue, its embeddings and a history."""
        items = [Item(item_id=f"i{at}", title=f"Film {at}") for at in range(CATALOGUE_SIZE)]
        vectors = Texts().encode([item.text() for item in items])
        self.send(ITEMS, [(item.item_id, msgspec.json.encode(item)) for item in items])
        embedded = [pack(from_vector("texts", item.text(), one)) for item, one in zip(items, vectors, strict=True)]
        self.send(ITEM_EMBEDDINGS, [(item.item_id, raw) for item, raw in zip(items, embedded, strict=True)])
        self.act(events)

    def act(self, events: Iterable[Mapping[str, object]]) -> None:
        self.send(INTERACTIONS, [(str(event["user_id"]), json.dumps(event).encode()) for event in events])

    def show(self, user: str, shown: Iterable[int]) -> None:
        exposure = Exposure(
            recommendation_id="r",
            user_id=user,
            shown_at=system_clock(),
            scenario="",
            variant="default",
            fallback=None,
            items=[ExposedItem(f"i{at}", place, 0.0, "popularity") for place, at in enumerate(shown)],
        )
        self.send(EXPOSURES, [(user, msgspec.json.encode(exposure))])

    def train(self, *arguments: str) -> Result:
        done = CliRunner().invoke(build(), ["train", *arguments])
        assert done.exit_code == 0, (done.output, done.exception)
        return done

    def versions(self, name: str) -> list[tuple[Manifest, bool]]:
        return [(one.manifest, active) for one, active in model_store.list_versions(self.settings, name)]

    def replica(self) -> ReadModel:
        model = ReadModel(self.serving, ExactIndex(Texts.dimension), features=NAMES)
        follower = Follower(self.serving, model)
        self._loop.followers.append(follower)
        self._loop.do(follower.start())
        self._loop.do(follower.ready.wait())
        return model


@pytest.fixture
def town(settings: KafkaSettings, overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Iterator[Town]:
    for name, value in overrides.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))
    loop = Loop()
    town = Town(settings, overrides, loop)
    yield town
    town.close()
    loop.close()


def slate(model: ReadModel, history: list[int]) -> list[str]:
    """What someone gets who went through these items, a minute each."""
    now_ms = system_clock()
    began_ms = now_ms - len(history) * MINUTE
    touches = [
        Touch(began_ms + at * MINUTE, f"e{at}", f"i{item}", "click", None, at) for at, item in enumerate(history)
    ]
    found = recommend(Query("someone", 5, now_ms, tuple(touches), model))
    return [model.catalogue.ids[one.row] for one in found.items]


def test_both_models_trained_from_kafka_are_listed_and_answer_on_a_replica(town: Town) -> None:
    town.open(cycle()[1])
    replica = town.replica()
    assert "is active" in town.train("sequence").output
    assert "is active" in town.train("ranker", "--learn-on", "300").output
    listed = CliRunner().invoke(build(), ["models", "list"]).output
    assert listed.count("ndcg@10=") == 2 and listed.count("*") == 2
    until(lambda: None not in (replica.models.active("sequence"), replica.models.active("ranker")))
    assert replica.ranker().learned > 100
    right = sum(f"i{(at + 3) % CATALOGUE_SIZE}" in slate(replica, [at, at + 1, at + 2])[:3] for at in range(20))
    assert right > 10, "what comes next on everybody's round is found from the text and the history alone"
    for name in ("sequence", "ranker"):
        ((manifest, active),) = town.versions(name)
        assert active and manifest.comparison == {} and "720 interactions on 24 items" in manifest.trained_on


def test_a_worse_candidate_is_kept_but_not_promoted_and_its_comparison_with_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.open(cycle()[1])
    town.train("sequence")
    ((best, _),) = town.versions("sequence")
    poor = {"epochs": 1, "finish_epochs": 0, "learning_rate": 1e-7, "refresh_steps": 1}
    with monkeypatch.context() as careless:
        careless.setattr("learning.sequence.config.SequenceConfig", lambda **given: SequenceConfig(**given | poor))
        assert "is a candidate: freshet models promote sequence" in town.train("sequence").output
        (worse, active), (_, still) = town.versions("sequence")
        assert still and not active
        told = worse.comparison
        assert told["against"] == best.version and told["unseen_by_active"] is False
        assert told["ndcg@10"]["candidate"] < told["ndcg@10"]["active"]
        assert worse.metrics["ndcg@10"] == told["ndcg@10"]["candidate"] and worse.metrics["events"] == told["events"]
        assert town.train("sequence", "--no-publish").output.count("\n") == 1
        assert len(town.versions("sequence")) == 2
        assert "is active" in town.train("sequence", "--promote-if", "always").output


def test_nothing_is_learned_from_those_who_are_forgotten(town: Town) -> None:
    items, events = cycle()
    town.open(events)
    gone, erased = Profile(opted_out=True), Profile(forgotten_until=max(int(one["event_time"]) for one in events))
    town.send(USER_PROFILES, [("u0", pack(gone)), ("u1", pack(erased)), ("u2", pack(Profile()))])
    town.train("sequence")
    ((manifest, _),) = town.versions("sequence")
    assert "702 interactions" in manifest.trained_on, "nine of each of two users are left out"


def test_a_history_with_duplicates_gives_the_same_model(town: Town) -> None:
    town.open(cycle()[1])
    town.train("sequence", "--no-publish")
    once = model_store.list_versions(town.settings, "sequence")
    assert once == []
    town.train("sequence")
    before = model_store.fetch(town.settings, "sequence")
    town.act(cycle()[1][:200])
    town.train("sequence", "--promote-if", "always")
    after = model_store.fetch(town.settings, "sequence")
    from learning.sequence.artefact import read_artefact

    first, second = read_artefact(before), read_artefact(after)
    # Between two trainings in one process sums may differ in the last bit of half precision; what counted twice
    # would differ in the second digit.
    for name, weights in first.weights.items():
        assert second.weights[name] == pytest.approx(weights, abs=0.01), name
    assert (first.facts.events, first.facts.until_ms) == (second.facts.events, second.facts.until_ms)
    assert first.facts.source != second.facts.source, "but it says up to where it read"


class Running:
    """`freshet learn` in a thread."""

    def __init__(self, town: Town) -> None:
        self._stopping = Event()
        self._thread = Thread(target=learn, args=(town.serving, 1.0, self._stopping))
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


def test_the_learner_publishes_what_it_learns_and_goes_on_from_there(town: Town) -> None:
    town.open(cycle(users=20)[1])
    replica = town.replica()
    running = Running(town)
    try:
        until(lambda: replica.models.active("ranker") is not None)
        started = replica.ranker().learned
        assert started > 50, "without an active ranker it began with the history"
        town.show("ann", range(8, 16))
        clicked = {"event_id": "a1", "type": "click", "user_id": "ann", "item_id": "i13", "event_time": system_clock()}
        town.act([clicked, clicked])
        until(lambda: replica.ranker().learned == started + 1)
        town.act([clicked])
    finally:
        running.stop()
    newest, active = town.versions("ranker")[0]
    assert active and newest.metrics == {"learned": 1, "shown": 1, "events": 0}
    raw = model_store.fetch(town.settings, "ranker")
    again = Running(town)
    again.stop()
    assert model_store.fetch(town.settings, "ranker") == raw, "nothing came since, so nothing was learned again"
    assert Ranker.from_bytes(raw, NAMES).learned == started + 1


def test_the_learner_told_to_stop_publishes_and_ends_well(town: Town) -> None:
    town.open(cycle(users=5)[1])
    process = subprocess.Popen([sys.executable, "-m", "cli.main", "learn", "--every", "600"])
    try:
        until(lambda: any(active for _, active in town.versions("ranker")))
        town.act([{"event_id": "c1", "type": "click", "user_id": "cat", "item_id": "i3", "event_time": system_clock()}])
        time.sleep(2)  # ten times what it waits for records
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    finally:
        process.kill()
        process.wait()
    assert town.versions("ranker")[0][0].metrics["learned"] == 1


def test_the_learner_takes_over_what_somebody_else_promotes(town: Town) -> None:
    town.open(cycle(users=20)[1])
    other = Ranker(NAMES)
    other.learned = 10_000
    replica = town.replica()
    running = Running(town)
    try:
        until(lambda: replica.models.active("ranker") is not None)
        told = {"metrics": {}, "comparison": {}, "trained_on": "elsewhere"}
        model_store.publish(town.settings, "ranker", other.to_bytes(), **told, promote=True)
        until(lambda: replica.ranker().learned == 10_000)
        event = {"type": "click", "user_id": "bob", "event_time": system_clock()}
        town.act([event | {"event_id": f"b{at}", "item_id": f"i{at}"} for at in range(3)])
        until(lambda: replica.ranker().learned == 10_003)
    finally:
        running.stop()

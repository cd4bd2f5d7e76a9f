"""Models over a real broker: published once, swapped in by every replica, rolled back, refused when damaged."""

import asyncio
import json
import random
import time
from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner, Result

from cli import model_store
from cli.broker import free_port
from cli.main import build
from cli.model_contents import KEPT
from cli.model_topic import read_records, send_records
from domain.codecs import pack
from domain.errors import BrokerUnavailable, MalformedEvent, QueryError, TopicError
from domain.models import Manifest, describe, moved, records_of
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import MODELS
from embeddings.exact_index import ExactIndex
from serving.follower import Follower
from serving.read_ahead import ReadAhead
from serving.read_model import ReadModel


def artefact(seed: int, size: int = 3_000_000) -> bytes:
    """Bytes that do not compress."""
    return random.Random(seed).randbytes(size)


class Loop:
    """An event loop in a thread, where the replicas of a test run."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever)
        self._thread.start()
        self.followers: list[Follower | ReadAhead] = []

    def do(self, coroutine) -> None:
        done: Future[None] = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        done.result(60)

    def close(self) -> None:
        for follower in self.followers:
            self.do(follower.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class Shop:
    """A model store, and replicas that follow it; a model is its artefact's bytes."""

    def __init__(self, settings: KafkaSettings, overrides: dict[str, object], loop: Loop) -> None:
        self.settings = settings
        self._overrides = overrides
        self._loop = loop

    def replica(self) -> ReadModel:
        settings = load_settings(ServingSettings, **self._overrides)
        model = ReadModel(settings, ExactIndex(4), loaders={"sequence": bytes, "ranker": bytes})
        follower = Follower(settings, model)
        self._loop.followers.append(follower)
        self._loop.do(follower.start())
        self._loop.do(follower.ready.wait())
        return model

    def publish(self, raw: bytes, name: str = "sequence", promote: bool = True) -> Manifest:
        told = {"metrics": {"ndcg@10": 0.21}, "comparison": {"ndcg@10": {"candidate": 0.21, "active": 0.19}}}
        return model_store.publish(self.settings, name, raw, **told, trained_on="a test", promote=promote)

    def publish_damaged(self, raw: bytes) -> Manifest:
        manifest = describe("sequence", raw, time.time_ns() // 1_000_000, {}, {}, "damaged on its way")
        pointer = moved(None, manifest.version, "promoted", time.time_ns() // 1_000_000 + 1)
        (first, chunk), *others = records_of(manifest, raw)
        send_records(self.settings, [(first, b"?" + chunk[1:]), *others, ("sequence", pack(pointer))])
        return manifest

    def versions(self, name: str = "sequence") -> list[str]:
        return [one.version for one, _ in model_store.list_versions(self.settings, name)]

    def __call__(self, *arguments: str) -> Result:
        return CliRunner().invoke(build(), ["models", *arguments])


@pytest.fixture
def shop(settings: KafkaSettings, overrides: dict[str, object], loop: Loop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    for name, value in overrides.items():
        monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))
    return Shop(settings, overrides, loop)


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_running_replicas_swap_to_what_is_published_and_back_on_a_rollback(shop: Shop) -> None:
    first, second = artefact(1), artefact(2)
    before = shop.publish(first)
    replicas = [shop.replica(), shop.replica()]
    assert [one.models.active("sequence") for one in replicas] == [first, first], "ready means that it is loaded"
    shop.publish(second)
    until(lambda: all(one.models.active("sequence") == second for one in replicas))
    assert model_store.rollback(shop.settings, "sequence").version == before.version
    until(lambda: all(one.models.active("sequence") == first for one in replicas))
    assert shop.replica().models.active("sequence") == first, "one that starts after the rollback"


def test_a_candidate_changes_nothing_until_it_is_promoted(shop: Shop) -> None:
    replica = shop.replica()
    candidate = shop.publish(artefact(3), promote=False)
    shop.publish(b"ranks", "ranker")
    until(lambda: replica.models.active("ranker") == b"ranks")
    assert replica.models.active("sequence") is None
    model_store.promote(shop.settings, "sequence", candidate.version)
    until(lambda: replica.models.active("sequence") == artefact(3))


def test_a_damaged_artefact_leaves_the_old_one_and_can_be_neither_fetched_nor_promoted(shop: Shop) -> None:
    good = artefact(4)
    shop.publish(good)
    replica = shop.replica()
    damaged = shop.publish_damaged(artefact(5))
    until(lambda: "sha256" in replica.models.faults().get("sequence", ""))
    assert replica.models.active("sequence") == good
    for refused in (model_store.fetch, model_store.promote):
        with pytest.raises(MalformedEvent, match=f"{damaged.version}: the sha256 .* publish it again"):
            refused(shop.settings, "sequence", damaged.version)
    shop.publish(artefact(6))
    until(lambda: replica.models.active("sequence") == artefact(6) and not replica.models.faults())


def test_the_newest_versions_stay_and_a_rollback_reaches_the_previous_one_behind_them(shop: Shop) -> None:
    replica = shop.replica()
    raws = [artefact(10 + n, 1_000_000) for n in range(KEPT + 4)]
    promoted = [shop.publish(raw) for raw in raws[:3]]
    later = [shop.publish(raw, promote=False) for raw in raws[3:]]
    kept = [one.version for one in [*promoted[1:], *later[-KEPT:]]]
    assert set(shop.versions()) == set(kept)
    left = {key.split("/")[1] for key, raw, _ in latest(shop.settings) if "/" in key and raw is not None}
    assert left == set(kept), "nothing of the others is left behind"
    shop("rollback", "sequence")
    until(lambda: replica.models.active("sequence") == raws[1])
    assert shop.replica().models.active("sequence") == raws[1]


def latest(settings: KafkaSettings) -> list[tuple[str, bytes | None, int]]:
    """The last record of each key."""
    return list({record[0]: record for record in read_records(settings)}.values())


def test_what_was_published_can_be_fetched_by_version_or_as_the_active_one(shop: Shop) -> None:
    first, second = shop.publish(artefact(7)), shop.publish(b"small", promote=False)
    assert model_store.fetch(shop.settings, "sequence") == artefact(7)
    assert model_store.fetch(shop.settings, "sequence", second.version) == b"small"
    with pytest.raises(QueryError, match=f"version v9 is not on the topic; there is .*{first.version}"):
        model_store.fetch(shop.settings, "sequence", "v9")
    with pytest.raises(QueryError, match="model ranker: no version is active; none has been published"):
        model_store.fetch(shop.settings, "ranker")


def test_a_second_rollback_asks_for_a_name(shop: Shop) -> None:
    with pytest.raises(QueryError, match="no version was active before; none has been published"):
        model_store.rollback(shop.settings, "sequence")
    one, two, three = (shop.publish(b"%d" % n) for n in range(3))
    assert model_store.rollback(shop.settings, "sequence").version == two.version
    with pytest.raises(QueryError, match=f"rolled back already, from {three.version} to {two.version}; name") as asked:
        model_store.rollback(shop.settings, "sequence")
    assert one.version in str(asked.value)
    pointer = model_store.rollback(shop.settings, "sequence", to=one.version)
    assert (pointer.version, pointer.previous, pointer.why) == (one.version, two.version, "rolled back")


def test_the_list_has_all_versions_and_marks_the_active_ones(shop: Shop) -> None:
    assert shop("list").output == "No models have been published.\n" and shop("list", "--json").output == ""
    old, new = shop.publish(b"1"), shop.publish(artefact(8))
    ranker = shop.publish(b"rank", "ranker", promote=False)
    header, *rows = shop("list").output.splitlines()
    assert header.split() == ["model", "version", "created", "size", "metrics"]
    assert [row.split()[-4:-2] + row.split()[-2:] for row in rows] == [
        [ranker.version, rows[0].split()[-3], "4", "ndcg@10=0.21"],
        [new.version, rows[1].split()[-3], "3,000,000", "ndcg@10=0.21"],
        [old.version, rows[2].split()[-3], "1", "ndcg@10=0.21"],
    ]
    assert [row.split()[0] for row in rows] == ["ranker", "*", "sequence"]
    told = [json.loads(line) for line in shop("list", "sequence", "--json").output.splitlines()]
    assert [(one["version"], one["active"], one["whole"]) for one in told] == [
        (new.version, True, True),
        (old.version, False, True),
    ]


def test_one_version_is_shown_with_its_comparison_and_the_active_one_with_its_reason(shop: Shop) -> None:
    old, new = shop.publish(b"1"), shop.publish(b"2")
    shown = dict(line.split(maxsplit=1) for line in shop("show", "sequence").output.splitlines())
    assert shown["version"] == new.version and shown["previous"] == old.version and shown["why"] == "promoted"
    assert shown["trained_on"] == "a test"
    assert json.loads(shown["comparison"]) == {"ndcg@10": {"candidate": 0.21, "active": 0.19}}
    told = json.loads(shop("show", "sequence", old.version, "--json").output)
    assert told["active"] is False and told["metrics"] == {"ndcg@10": 0.21} and "why" not in told
    assert "no version is active" in str(shop("show", "ranker").exception)


def test_promote_and_rollback_say_what_is_active_and_what_was(shop: Shop) -> None:
    old, new = shop.publish(b"1"), shop.publish(b"2")
    assert shop("rollback", "sequence").output == (
        f"sequence: {old.version} is active (rolled back), before it {new.version}\n"
    )
    assert shop("promote", "sequence", new.version).output == (
        f"sequence: {new.version} is active (promoted), before it {old.version}\n"
    )
    assert "there is" in str(shop("promote", "sequence", "v9").exception)
    assert shop("promote", "bandit", "v9").exit_code == 2


def test_a_version_of_a_newer_format_is_listed_with_its_reason_and_kept(shop: Shop) -> None:
    manifest = shop.publish(b"1", promote=False)
    records = records_of(manifest, b"1")
    send_records(shop.settings, [(key.replace(manifest.version, "v2"), b"\x02" + raw) for key, raw in records])
    for _ in range(KEPT + 1):
        shop.publish(artefact(_, 9), promote=False)
    assert "upgrade this reader" in shop("list").output and "v2" in shop.versions()


def test_what_is_no_model_of_ours_on_the_topic_disturbs_nobody(shop: Shop) -> None:
    producer = KafkaProducer(**shop.settings.kafka_options(), acks="all")
    for key in (None, b"\xff", b"bandit/v1"):
        producer.send(shop.settings.topic(MODELS), key=key, value=b"?")
    producer.close()
    shop.publish(b"1")
    assert shop.replica().models.active("sequence") == b"1"
    assert len(shop("list").output.splitlines()) == 2


def test_without_the_topic_it_says_what_to_run(overrides: dict[str, object]) -> None:
    with pytest.raises(TopicError, match="run: freshet topics create"):
        model_store.list_versions(load_settings(KafkaSettings, **overrides))


def test_without_a_broker_it_names_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.kafka_clients.BOOTSTRAP_TIMEOUT_MS", 300)
    nowhere = f"127.0.0.1:{free_port()}"
    with pytest.raises(BrokerUnavailable, match=nowhere):
        model_store.list_versions(load_settings(KafkaSettings, bootstrap_servers=nowhere))


def test_the_help_says_what_a_model_is_and_how_to_go_back(shop: Shop) -> None:
    told = " ".join(shop("--help").output.split())
    assert "without a restart and without a shared disk" in told
    assert "Further back than one step needs --to" in " ".join(shop("rollback", "--help").output.split())

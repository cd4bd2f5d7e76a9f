"""A replica's snapshot: what comes back is what was taken hold of, and what is not surely right does not come back."""

import asyncio
import json
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest
from prometheus_client import REGISTRY

from cli.check_snapshot import check_snapshot
from cli.judging.world import World
from domain.items import Item
from domain.log_reader import LogRecord
from domain.settings import ServingSettings, load_settings
from domain.topics import ITEM_EMBEDDINGS, ITEMS, USER_PROFILES
from embeddings.faiss_index import FaissIndex
from learning.ranker import Ranker
from learning.signals_record import SHAPE
from serving.features import NAMES
from serving.pipeline import recommend
from serving.query import stored_query
from serving.read_model import ReadModel
from serving.snapshot import files
from serving.snapshot.place import Origin, Place, fault_of
from serving.snapshot.snapshots import Snapshots
from serving.state_hash import state_hashes
from tests.builders import START_MS, interaction

D, ITEM_COUNT, USERS = 8, 60, 12
NOW = START_MS + 10_000_000
PLACE = Place(Origin("cluster", {"items": "id"}), {"items": {0: 7}}, NOW)


@pytest.fixture
def settings(tmp_path: Path) -> ServingSettings:
    return load_settings(ServingSettings, snapshot_path=str(tmp_path / "home"), exact_index_below=20)


@pytest.fixture
def world(settings: ServingSettings) -> World:
    world = World(settings, D)
    items = [
        Item(item_id=f"i{n}", title=f"Title {n}", categories=[f"c{n % 5}"], published_at=START_MS - n)
        for n in range(ITEM_COUNT)
    ]
    vectors = np.random.default_rng(1).standard_normal((ITEM_COUNT, D)).astype(np.float32)
    world.put_items(items, vectors / np.linalg.norm(vectors, axis=1, keepdims=True), "v1", NOW)
    learn(world, 0, 400)
    world.put_model("ranker", Ranker(NAMES).to_bytes(), NOW)
    return world


def learn(world: World, start: int, end: int) -> None:
    """Some users' clicks, the same for the same numbers."""
    chance = np.random.default_rng(start)
    clicks = [
        interaction(f"u{chance.integers(USERS)}", f"i{chance.integers(ITEM_COUNT)}", second, event_id=f"e{second}")
        for second in range(start, end)
    ]
    world.learn([msgspec.json.encode(one) for one in clicks], clicks)


def put(world: World, topic: str, key: str, value: bytes | None) -> None:
    world.model.apply([LogRecord(world.settings.topic(topic), 0, 0, NOW, key.encode(), value)])


def new_model(settings: ServingSettings, version: str | None = None) -> ReadModel:
    return ReadModel(settings, FaissIndex(D, settings.exact_index_below), version, features=NAMES)


def save(model: ReadModel, settings: ServingSettings, place: Place = PLACE) -> None:
    async def saved() -> None:
        await Snapshots(settings, model, lambda: NOW).finish(place)

    asyncio.run(saved())


def load(model: ReadModel, settings: ServingSettings, now: int = NOW) -> Place | None:
    return asyncio.run(Snapshots(settings, model, lambda: now).load())


def slates(model: ReadModel) -> list[list[tuple[str, float]]]:
    found = [recommend(stored_query(model, f"u{user}", 20, NOW)) for user in range(USERS + 1)]
    return [[(model.catalogue.ids[one.row], one.score) for one in slate.items] for slate in found]


def discarded(reason: str) -> float:
    return REGISTRY.get_sample_value("freshet_snapshot_discarded_total", {"reason": reason}) or 0.0


def failures() -> float:
    return REGISTRY.get_sample_value("freshet_snapshot_failures_total") or 0.0


def test_a_replica_comes_back_as_it_was(world: World, settings: ServingSettings):
    save(world.model, settings)
    model = new_model(settings)
    assert load(model, settings) == PLACE
    assert state_hashes(model) == state_hashes(world.model)
    assert slates(model) == slates(world.model)
    assert model.learned_to == world.model.learned_to
    before, after = world.model.models.loaded("ranker"), model.models.loaded("ranker")
    assert before and after and after.manifest == before.manifest
    for stage in range(3):
        heads = zip(model.behaviour.heads(stage, 30), world.model.behaviour.heads(stage, 30), strict=True)
        assert all(one.tolist() == other.tolist() for one, other in heads)


def test_what_comes_after_a_snapshot_adds_up_to_the_same(world: World, settings: ServingSettings):
    save(world.model, settings)
    restored = World(settings, D)
    load(restored.model, settings)
    for one in (world, restored):
        put(one, ITEMS, "i3", None)
        put(one, ITEM_EMBEDDINGS, "i4", None)
        put(one, ITEMS, "new", msgspec.json.encode(Item(item_id="new", title="New", categories=["c1", "c9"])))
        put(one, USER_PROFILES, "u5", None)
    learn(world, 400, 600)
    for topic, key, value in changes_of(world, 400, 600, settings):
        put(restored, topic, key, value)
    assert state_hashes(restored.model) == state_hashes(world.model)
    assert slates(restored.model) == slates(world.model)
    save(restored.model, settings)
    again = new_model(settings)
    load(again, settings)
    assert state_hashes(again) == state_hashes(world.model) and slates(again) == slates(world.model)


def changes_of(world: World, start: int, end: int, settings: ServingSettings) -> list[tuple[str, str, bytes | None]]:
    """What a worker wrote for these clicks: a world that learned them and was asked what is in it."""
    from domain.codecs import pack
    from domain.topics import ITEM_SIGNALS
    from learning.signals_record import pack_share

    model = world.model
    signals = [
        (ITEM_SIGNALS, item_id, pack_share(share))
        for item_id, row in model.catalogue.rows.items()
        for share in model.behaviour.shares(row).values()
    ]
    profiles = [
        (USER_PROFILES, user_id, pack(profile))
        for user_id in model.profiles.user_ids()
        if (profile := model.profiles.get(user_id))
    ]
    return [*signals, *profiles]


def test_what_is_applied_while_it_is_written_is_not_in_it(world: World, settings: ServingSettings):
    async def overtaken() -> dict[str, str]:
        snapshots = Snapshots(settings, world.model, lambda: NOW)
        before = state_hashes(world.model)
        await snapshots.save(PLACE)
        learn(world, 400, 600)
        put(world, ITEMS, "i3", None)
        put(world, ITEM_EMBEDDINGS, "i4", None)
        await snapshots.finish(None)
        return before

    before = asyncio.run(overtaken())
    model = new_model(settings)
    load(model, settings)
    assert state_hashes(model) == before != state_hashes(world.model)


def test_without_news_only_the_moment_is_written_again(world: World, settings: ServingSettings):
    home = Path(settings.snapshot_path)

    async def twice() -> None:
        snapshots = Snapshots(settings, world.model, lambda: NOW)
        await snapshots.finish(PLACE)
        first = {one: one.stat().st_mtime_ns for one in home.rglob("*.npy")}
        await snapshots.finish(msgspec.structs.replace(PLACE, current_ms=NOW + 5))
        assert {one: one.stat().st_mtime_ns for one in home.rglob("*.npy")} == first

    asyncio.run(twice())
    assert load(new_model(settings), settings).current_ms == NOW + 5


def test_a_new_model_is_news(world: World, settings: ServingSettings):
    save(world.model, settings)

    async def after_a_promotion() -> None:
        snapshots = Snapshots(settings, world.model, lambda: NOW)
        await snapshots.finish(PLACE)
        ranker = Ranker(NAMES)
        ranker.learned = 1
        world.put_model("ranker", ranker.to_bytes(), NOW + 1)
        await snapshots.finish(PLACE)

    asyncio.run(after_a_promotion())
    model = new_model(settings)
    load(model, settings)
    assert model.models.versions() == world.model.models.versions()
    assert model.ranker().learned == 1


def test_a_replica_goes_on_from_its_files_after_the_next_snapshot_has_taken_their_place(
    world: World, settings: ServingSettings
):
    save(world.model, settings)
    model = new_model(settings)
    load(model, settings)
    before = state_hashes(model), slates(model)
    put(world, ITEMS, "i3", None)
    save(world.model, settings)
    assert (state_hashes(model), slates(model)) == before
    shutil.rmtree(settings.snapshot_path)
    assert (state_hashes(model), slates(model)) == before


def damages(home: Path) -> Iterator[tuple[str, Path]]:
    """Copies of a snapshot, each with another of its files cut short, changed or missing, by turns."""
    snapshot = next(one for one in home.iterdir() if one.is_dir())
    names = sorted(one.relative_to(home) for one in snapshot.rglob("*") if one.is_file())
    for turn, file in enumerate([*[Path(files.MANIFEST)] * 3, *names]):
        size = (home / file).stat().st_size
        copy = home.with_name("damaged")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(home, copy)
        what = ("cut", "changed", "missing")[turn % 3] if size else "missing"
        raw = (copy / file).read_bytes()
        if what == "missing":
            (copy / file).unlink()
        else:
            (copy / file).write_bytes(raw[: size // 2] if what == "cut" else _changed(raw))
        yield f"{file} {what}", copy


def _changed(raw: bytes) -> bytes:
    at = len(raw) // 2
    return raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :]


def test_a_damaged_or_half_written_snapshot_is_given_up_whole(world: World, settings: ServingSettings):
    save(world.model, settings)
    empty = state_hashes(new_model(settings))
    count = 0
    for what, copy in damages(Path(settings.snapshot_path)):
        model, before = new_model(settings), discarded("corrupt")
        place = load(model, load_settings(ServingSettings, snapshot_path=str(copy)))
        if what.startswith(files.MANIFEST) and what.endswith("missing"):
            assert place is None  # then there is no snapshot, which is no fault
        else:
            assert place is None and discarded("corrupt") == before + 1, what
        assert state_hashes(model) == empty, what
        count += 1
    assert count > 40


def test_a_manifest_that_says_what_cannot_be_is_given_up(world: World, settings: ServingSettings):
    save(world.model, settings)
    manifest = Path(settings.snapshot_path) / files.MANIFEST
    told = json.loads(manifest.read_bytes())
    del told["told"]["place"]["offsets"]
    manifest.write_text(json.dumps(told))
    before = discarded("corrupt")
    assert load(new_model(settings), settings) is None and discarded("corrupt") == before + 1


def test_another_format_and_another_shape_are_given_up(world: World, settings: ServingSettings):
    save(world.model, settings)
    before = discarded("settings")
    wider = ReadModel(settings, FaissIndex(D + 1), features=NAMES)
    assert load(wider, settings) is None and discarded("settings") == before + 1
    assert load(new_model(settings, version="v2"), settings) is None and discarded("settings") == before + 2
    manifest = Path(settings.snapshot_path) / files.MANIFEST
    told = json.loads(manifest.read_bytes())
    assert told["told"]["signals"][0] == SHAPE
    told["told"]["signals"][0] = SHAPE - 1  # its shares are as an earlier version wrote them
    manifest.write_text(json.dumps(told))
    assert load(new_model(settings), settings) is None and discarded("settings") == before + 3
    told["told"]["format"] = 99
    manifest.write_text(json.dumps(told))
    before = discarded("format")
    assert load(new_model(settings), settings) is None and discarded("format") == before + 1


def test_one_that_may_have_missed_deletions_is_given_up(world: World, settings: ServingSettings):
    save(world.model, settings)
    limit = NOW + int(settings.snapshot_max_age_s * 1000)
    assert load(new_model(settings), settings, limit) == PLACE
    before = discarded("too_old")
    assert load(new_model(settings), settings, limit + 1) is None and discarded("too_old") == before + 1


@pytest.mark.parametrize(
    ("origin", "begins", "reason"),
    [
        (Origin("cluster", {"items": "id"}), {("items", 0): 7}, None),
        (Origin("other", {"items": "id"}), {("items", 0): 0}, "cluster"),
        (Origin("cluster", {"items": "new"}), {("items", 0): 0}, "topic"),
        (Origin("cluster", {"items": "id"}), {("items", 0): 0, ("items", 1): 0}, "partitions"),
        (Origin("cluster", {"items": "id"}), {("items", 0): 8}, "gap"),
    ],
)
def test_reading_goes_on_only_in_the_log_that_was_read(origin, begins, reason):
    fault = fault_of(PLACE, origin, begins)
    assert (fault and fault.reason) == reason


def test_a_full_disk_leaves_the_snapshot_before_and_nothing_else(world: World, settings: ServingSettings):
    save(world.model, settings)
    learned, home = state_hashes(world.model), Path(settings.snapshot_path)
    held = sorted(home.iterdir())
    learn(world, 400, 600)
    before, limits = failures(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))  # each file ends there, as on a full disk
    try:
        save(world.model, settings, msgspec.structs.replace(PLACE, offsets={"items": {0: 9}}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert failures() == before + 1 and sorted(home.iterdir()) == held
    model = new_model(settings)
    assert load(model, settings) == PLACE and state_hashes(model) == learned


@pytest.mark.parametrize("path", ["/sys/freshet", "/proc/freshet", "/dev/null/freshet"])
def test_a_folder_that_cannot_be_written_stops_nobody(world: World, path: str):
    settings = load_settings(ServingSettings, snapshot_path=path)
    before = failures()
    assert load(new_model(settings), settings) is None
    save(world.model, settings)
    assert failures() == before + 1


def test_the_doctor_says_what_a_snapshot_is_worth(world: World, settings: ServingSettings):
    home = Path(settings.snapshot_path)

    def finding(now: int = NOW, path: str = str(home)) -> tuple[str, str]:
        (found,) = check_snapshot(load_settings(ServingSettings, snapshot_path=path), lambda: now)
        return found.state, found.found

    assert finding() == ("ok", f"{home}: none yet")
    assert finding(path="/dev/null/freshet")[0] == "wrong"
    save(world.model, settings)
    assert finding(NOW + 7000)[1].endswith("MB, up to date 7 s ago")
    assert "reads the topics instead" in finding(NOW + 90_000_000)[1]
    (home / files.MANIFEST).write_text("{")
    assert finding()[0] == "wrong"
    assert list(check_snapshot(load_settings(ServingSettings))) == []


def test_only_what_is_a_snapshots_is_removed(world: World, settings: ServingSettings):
    home = Path(settings.snapshot_path)
    (home / "mine").mkdir(parents=True)
    (home / "freshet-notes").mkdir()
    crashed = home / ("freshet-" + "0" * 32)
    crashed.mkdir()
    save(world.model, settings)
    assert not crashed.exists() and (home / "mine").is_dir() and (home / "freshet-notes").is_dir()

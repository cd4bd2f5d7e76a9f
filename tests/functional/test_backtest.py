"""The backtest judges before it learns, gives the same figures each time, and bears any log."""

import random
from pathlib import Path

import msgspec
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.judging.hidden import Hidden
from cli.judging.judge import Judge
from cli.judging.log import read_log
from cli.judging.protocols import without_calendar
from cli.judging.run import judge
from cli.judging.world import World
from cli.main import build
from domain.items import Item
from domain.settings import ServingSettings
from embeddings.faiss_index import FRESH_MIN
from embeddings.transformer import TransformerEncoder
from serving.behaviour import NEVER_TOUCHED_MS
from tests.builders import START_MS

THEMES = ("a monster in space", "love in Paris", "a bank robbery")
SETTINGS = {"default": ServingSettings()}


def write(folder: Path, items: list[dict], events: list[dict]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "items.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, items)))
    (folder / "interactions.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, events)))
    return folder


def film(number: int) -> dict:
    theme = number % len(THEMES)
    return {
        "item_id": f"i{number}",
        "title": f"{THEMES[theme]} {number}",
        "categories": [f"c{theme}"],
        "published_at": 1,
    }


def event(at: int, user: str, item: str, **more: object) -> dict:
    told = {
        "event_id": f"e{at}",
        "type": "click",
        "user_id": user,
        "item_id": item,
        "event_time": START_MS + at * 60_000,
    }
    return told | more


@pytest.fixture
def habits(tmp_path: Path) -> Path:
    """Users walk through the films of one theme in order, as far as they get."""
    chance = random.Random(5)
    at, events = 0, []
    for user in range(60):
        theme = user % len(THEMES)
        for step in range(chance.randint(2, 9)):
            events.append(event(at, f"u{user}", f"i{theme + 3 * step}"))
            at += 1
    return write(tmp_path / "habits", [film(number) for number in range(45)], events)


def run(folder: Path, protocol: str = "prequential", **more: int) -> dict:
    plan = {"last": 200, "warm_up": 100, "retrain_every": 0} | more
    return judge(folder, protocol, SETTINGS, **plan)[0]


@pytest.mark.parametrize("protocol", ["prequential", "temporal", "last-one"])
def test_what_can_be_learned_is_learned_under_each_protocol(habits, protocol):
    told = run(habits, protocol)["configurations"]["default"]
    everything = told["slices"]["all"]
    assert everything["hit@10"] > 0.6 and everything["low"] <= everything["ndcg@10"] <= everything["high"]
    assert 0 < told["slates"]["coverage"] <= 1


def test_the_same_log_gives_the_same_figures(habits):
    first, second = (run(habits)["configurations"]["default"]["slices"] for _ in range(2))
    assert first == second


def test_what_an_index_covers_when_judging_begins_is_no_matter_of_time():
    items = [Item(item_id=f"i{at}", title=f"film {at}") for at in range(FRESH_MIN + 200)]
    vectors = np.random.default_rng(0).standard_normal((len(items), 8)).astype(np.float32)
    world = World(ServingSettings(exact_index_below=1000), 8)
    world.put_items(items, vectors, "v", START_MS)
    assert world.model.catalogue.index.state().fresh == 199, "built as soon as it was due, and before the next item"


def test_an_event_is_judged_before_it_is_learned_from(tmp_path):
    """Every user touches one item that nobody touched before: had it been learned from, it would be on top."""
    items = [film(number) for number in range(300)]
    order = random.Random(1).sample(range(300), 300)
    events = [event(at, f"u{at}", f"i{item}") for at, item in enumerate(order)]
    everything = run(write(tmp_path / "new", items, events), last=250)["configurations"]["default"]["slices"][
        "new items"
    ]
    assert everything["n"] == 250
    assert everything["hit@10"] < 0.4  # fewer and fewer are new, and that a new one comes next can be learned
    assert 0.35 < everything["auc_among_new"] < 0.65  # but not which


def test_a_new_item_of_the_kind_that_a_user_turns_to_ranks_high(tmp_path):
    """Each user stays with one theme; of its films only the texts and the categories tell."""
    items = [film(number) for number in range(600)]
    films = {theme: iter(range(theme, 600, len(THEMES))) for theme in range(len(THEMES))}
    chance = random.Random(2)
    events = [
        event(at, f"u{user}", f"i{next(films[user % 3])}") for at in range(500) if (user := chance.randrange(30)) + 1
    ]
    new = run(write(tmp_path / "kinds", items, events))["configurations"]["default"]["slices"]["new items"]
    assert new["auc_among_new"] > 0.75 and new["hit@10"] > 0.04 > 10 / 400


@pytest.fixture
def themes(tmp_path: Path) -> Path:
    """Users stay with one theme, and choose any of its films."""
    chance = random.Random(3)
    tastes = [random.Random(user).sample(range(user % 3, 600, 3), 60) for user in range(40)]
    users = [user for user in range(40) for _ in range(50)]
    chance.shuffle(users)
    events = [event(at, f"u{user}", f"i{tastes[user].pop()}") for at, user in enumerate(users)]
    return write(tmp_path / "themes", [film(number) for number in range(600)], events)


def test_items_that_are_kept_new_are_found_by_what_is_said_of_them(themes):
    told = run(themes, "new-items", last=1000, warm_up=500)["configurations"]["default"]["slices"]
    new = told["new items"]
    assert new == told["all"] and 50 < new["n"] < 200
    assert new["auc_among_new_low"] > 0.75 and new["auc"] > 0.75
    assert new["hit_among_new"] > 2 * new["chance_among_new"]


def test_of_items_that_are_kept_new_nothing_is_known(themes):
    log = read_log(themes, ServingSettings())
    world = World(ServingSettings(), 4)
    vectors = np.eye(4, dtype=np.float32)[np.arange(len(log.items)) % 4]
    world.put_items(log.items, vectors, "v", START_MS)
    hidden = Hidden(item.item_id for item in log.items)
    Judge(world, log, None, hidden=hidden).replay(range(len(log)))
    catalogue, behaviour = world.model.catalogue, world.model.behaviour
    known = {catalogue.ids[row] for row in np.flatnonzero(behaviour.first_ms[: len(catalogue)] != NEVER_TOUCHED_MS)}
    touched = {log.interaction(at).item_id for at in range(len(log))}
    assert known == {one for one in touched if one not in hidden}
    assert touched & hidden.judged and touched & hidden.teaching and not hidden.judged & hidden.teaching
    profiles = [world.model.profiles.get(f"u{user}") for user in range(40)]
    assert not any(touch.item_id in hidden for profile in profiles if profile for touch in profile.touches)


def test_only_the_first_choice_of_a_hidden_item_is_judged(themes):
    log = read_log(themes, ServingSettings())
    hidden = Hidden(item.item_id for item in log.items)
    interactions = [log.interaction(at) for at in range(len(log))]
    held = [one for one in interactions if one.item_id in hidden]
    known = [one for one in interactions if one.item_id not in hidden]
    assert all(map(hidden.first, held)) and not any(map(hidden.first, held))
    assert all(map(hidden.first, known)) and all(map(hidden.first, known))


def test_last_one_knows_no_calendar(habits):
    log = read_log(habits, ServingSettings())
    moved, places = without_calendar(log)
    before, after = ([one.interaction(at) for at in range(len(log))] for one in (log, moved))
    assert sorted(places) == list(range(len(log)))
    assert [one.event_id for one in after] == [before[at].event_id for at in places]
    for user in {one.user_id for one in before}:
        ours, theirs = ([one for one in some if one.user_id == user] for some in (before, after))
        assert [one.event_id for one in ours] == [one.event_id for one in theirs]
        assert len({new.time_ms - old.time_ms for old, new in zip(ours, theirs, strict=True)}) == 1
        assert theirs[-1].time_ms == log.times_ms[-1] == moved.times_ms[-1]


def test_the_future_changes_no_earlier_rank(habits):
    log, encoder = read_log(habits, ServingSettings()), TransformerEncoder()
    ranks = []
    for end in (120, 160):
        world = World(ServingSettings(), encoder.dimension)
        world.put_items(log.items, encoder.encode([one.text() for one in log.items]), encoder.version, START_MS)
        told = Judge(world, log, None)
        for at in range(end):
            told.step(at, judged=True)
        ranks.append(told.cases.ranks)
    assert ranks[0] == ranks[1][: len(ranks[0])]


HOSTILE = {
    "unknown items": [event(at, f"u{at % 5}", f"i{at % 7}" if at % 2 else f"gone{at}") for at in range(80)],
    "one user": [event(at, "u", f"i{at % 30}") for at in range(80)],
    "one item": [event(at, f"u{at}", "i1") for at in range(80)],
    "clock jumps": [
        event(at, f"u{at % 9}", f"i{at % 30}", event_time=START_MS + (at % 3) * 10**12 // 2 - at) for at in range(80)
    ],
    "duplicates": [event(at % 6, f"u{at % 6}", f"i{at % 6}") for at in range(400)] + [event(999, "u1", "i9")],
    "every type": [
        event(at, f"u{at % 4}", f"i{at % 30}", type=kind)
        for at, kind in enumerate(["view", "hide", "dislike", "like", "impression", "purchase", "cart"] * 12)
    ],
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_strange_log_gives_sound_figures(tmp_path, case):
    folder = write(tmp_path / "strange", [film(number) for number in range(30)], HOSTILE[case])
    told = run(folder, retrain_every=40)["configurations"]["default"]
    figures = [value for part in told["slices"].values() for value in part.values()]
    assert np.isfinite(figures).all() and all(value >= 0 for value in figures)


def test_bad_lines_are_counted_and_a_folder_without_a_log_is_named(tmp_path):
    folder = write(tmp_path / "gaps", [film(n) for n in range(9)], [event(n, f"u{n}", f"i{n}") for n in range(9)])
    with (folder / "interactions.jsonl").open("ab") as file:
        file.write(b'\n{"broken\n{"event_id": "x"}\n')
    assert read_log(folder, ServingSettings()).refused.count == 2
    said = CliRunner().invoke(build(), ["backtest", str(tmp_path / "nowhere")])
    assert said.exit_code != 0 and "no items.jsonl" in str(said.exception)


def test_two_configurations_stand_side_by_side_with_a_paired_test(habits, tmp_path):
    (tmp_path / "all.toml").write_text("candidates_per_source = 50")
    (tmp_path / "text.json").write_text('{"disabled": ["covisitation", "popularity", "kind", "fresh"]}')
    out = tmp_path / "out.json"
    options = ["--config", tmp_path / "all.toml", "--config", tmp_path / "text.json", "--json", out]
    said = CliRunner().invoke(
        build(), ["backtest", str(habits), "--last", "150", "--retrain-every", "0", *map(str, options)]
    )
    assert said.exit_code == 0, said.output
    told = msgspec.json.decode(out.read_bytes())["configurations"]
    against = told["text"]["against"]["all"]
    assert told["all"]["slices"]["all"]["ndcg@10"] > told["text"]["slices"]["all"]["ndcg@10"]
    assert against["high"] < 0 and "against all" in said.output


def test_a_configuration_with_an_unknown_setting_is_refused_by_name(habits, tmp_path):
    (tmp_path / "odd.toml").write_text("candidate_per_source = 50")
    said = CliRunner().invoke(build(), ["backtest", str(habits), "--config", str(tmp_path / "odd.toml")])
    assert said.exit_code != 0 and "CANDIDATE_PER_SOURCE" in str(said.exception).upper()


def test_interaction_types_of_the_deployment_count(tmp_path, monkeypatch):
    monkeypatch.setenv("FRESHET_INTERACTION_TYPES", '{"listen": {"weight": 1.0}}')
    events = [event(at, f"u{at % 9}", f"i{at % 20}", type="listen") for at in range(80)]
    folder = write(tmp_path / "radio", [film(number) for number in range(20)], events)
    said = CliRunner().invoke(build(), ["backtest", str(folder), "--last", "40", "--retrain-every", "0"])
    assert said.exit_code == 0 and "<5 past events" in said.output

"""The command line as a user meets it: what it prints where, and the exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from domain.clock import system_clock
from domain.positions import from_token
from domain.settings import KafkaSettings
from domain.topics import INTERACTIONS, ITEMS
from tests.integration.test_emitter import read_topic

CLICK = {"event_id": "e1", "type": "click", "user_id": "u1", "item_id": "i1", "event_time": 1_700_000_000_000}


class Shell:
    """Runs `freshet` as a process of its own, in this test's deployment."""

    def __init__(self, overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> None:
        for name, value in overrides.items():
            monkeypatch.setenv(f"FRESHET_{name.upper()}", str(value))

    def __call__(self, *arguments: str | Path, pipe: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cli.main", *map(str, arguments)]
        return subprocess.run(command, input=pipe, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def freshet(overrides: dict[str, object], monkeypatch: pytest.MonkeyPatch) -> Shell:
    return Shell(overrides, monkeypatch)


def events(settings: KafkaSettings) -> list[str]:
    return sorted(json.loads(record.value)["event_id"] for record in read_topic(settings, INTERACTIONS))


def test_topics_are_created_then_found_well(freshet: Shell) -> None:
    wrong = freshet("topics", "check")
    assert wrong.returncode == 2 and "run: freshet topics create" in wrong.stderr
    made = freshet("topics", "create")
    assert made.returncode == 0 and made.stdout.count("created ") == 9
    assert freshet("topics", "check").stdout == "9 topics are as they should be.\n"


def test_one_event_prints_its_token(freshet: Shell, settings: KafkaSettings) -> None:
    done = freshet("emit", "--user", "u1", "--item", "i1", "--type", "rating", "--value", "4")
    assert done.returncode == 0, done.stderr
    (record,) = read_topic(settings, INTERACTIONS)
    assert from_token(done.stdout.split()[-1]) == (record.partition, record.offset)
    assert json.loads(record.value)["value"] == 4.0


def test_refused_lines_are_listed_and_the_good_ones_sent(freshet: Shell, settings: KafkaSettings) -> None:
    bad = "".join(json.dumps(CLICK | {"type": "no"}) + "\n" for _ in range(12))
    done = freshet("emit", "-", pipe=json.dumps(CLICK) + "\n" + bad)
    assert done.returncode == 1
    assert done.stdout == "1 events sent, 12 lines refused (2 more than shown)\n"
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [f"line {n}" for n in range(2, 12)]
    assert events(settings) == ["e1"]


def test_a_folder_is_imported_and_twice_is_the_same(freshet: Shell, settings: KafkaSettings, tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"item_id": "i1", "title": "One"}\n')
    lines = [{name: value for name, value in CLICK.items() if name != "event_id"}] * 2
    (tmp_path / "interactions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    first = freshet("import", tmp_path)
    assert first.returncode == 0, first.stderr
    assert "2 interactions from 2023-11-14 to 2023-11-14, 0 lines refused" in first.stdout
    assert "3 records sent" in first.stdout and first.stderr == ""
    freshet("import", "interactions", tmp_path)
    assert len(events(settings)) == 4 and len(set(events(settings))) == 2
    assert len(read_topic(settings, ITEMS)) == 1


def test_strict_sends_nothing_if_a_line_is_refused(freshet: Shell, settings: KafkaSettings, tmp_path: Path) -> None:
    path = tmp_path / "items.csv"
    path.write_text("item_id,price\na,1\nb,-1\nc,-2\n")
    strict = freshet("import", "items", path, "--strict")
    assert strict.returncode == 1 and "Nothing was sent" in strict.stderr
    assert "  2 x price: expected `float` >= 0.0, got '-1.0' (lines 3, 4)" in strict.stderr
    assert read_topic(settings, ITEMS) == []
    assert freshet("import", "items", path).returncode == 1
    assert [record.key for record in read_topic(settings, ITEMS)] == [b"a"]


def test_seconds_in_place_of_milliseconds_are_pointed_at(
    freshet: Shell, settings: KafkaSettings, tmp_path: Path
) -> None:
    (tmp_path / "e.jsonl").write_text(json.dumps(CLICK | {"event_time": 1_700_000_000}))
    assert "are these seconds?" in freshet("import", "interactions", tmp_path / "e.jsonl").stderr


class TestWithoutABroker:
    """What needs none."""

    @pytest.fixture
    def freshet(self, monkeypatch: pytest.MonkeyPatch) -> Shell:
        return Shell({}, monkeypatch)

    @pytest.mark.parametrize(
        ("arguments", "says"),
        [
            (("emit", "--user", "u1"), "emit: expected --user and --item"),
            (("emit", "x.jsonl", "--user", "u1"), "not both"),
            (("import", "nothing"), "import 'nothing': expected"),
            (("import", "items", "x.jsonl"), "No such file or directory: 'x.jsonl'"),
            (("import", "items", "x.xml"), r"x.xml: expected a name ending in .jsonl"),
        ],
    )
    def test_a_users_error_is_one_line_and_exit_2(self, freshet: Shell, arguments: tuple[str, ...], says: str) -> None:
        done = freshet(*arguments)
        assert done.returncode == 2 and done.stdout == ""
        assert done.stderr.startswith("freshet: ") and says in done.stderr
        assert len(done.stderr.splitlines()) == 1

    def test_a_misspelt_variable_stops_every_command(self, freshet: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("FRESHET_BOOTSTRAP_SERVER", "x:1")
        done = freshet("emit", "--user", "u", "--item", "i")
        assert done.returncode == 2 and "FRESHET_BOOTSTRAP_SERVER is not a setting" in done.stderr

    def test_settings_lists_them_with_defaults(self, freshet: Shell) -> None:
        assert "FRESHET_PARTITIONS=8\n    partitions of each topic" in freshet("settings").stdout
        assert "| `FRESHET_PARTITIONS` | `8` | partitions" in freshet("settings", "--markdown").stdout

    def test_help_names_every_command(self, freshet: Shell) -> None:
        told = freshet("--help").stdout
        assert told.startswith("Usage: freshet ")
        for name in ("topics", "emit", "import", "data", "broker", "settings"):
            assert f"  {name} " in told


def test_an_old_history_can_be_moved_to_now(freshet: Shell, settings: KafkaSettings, tmp_path: Path) -> None:
    lines = [CLICK, CLICK | {"event_id": "e2", "event_time": CLICK["event_time"] + 5_000}]
    (tmp_path / "interactions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = freshet("import", "interactions", tmp_path, "--shift-to-now")
    assert done.returncode == 0, done.stderr
    first, last = sorted(json.loads(record.value)["event_time"] for record in read_topic(settings, INTERACTIONS))
    assert last - first == 5_000
    assert abs(last - system_clock()) < 60_000

"""The README is held to the code."""

import re
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from cli.main import COMMANDS, build
from domain.settings import PREFIX, SETTINGS
from serving.filters import FILTERS
from serving.sources import SOURCES

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_the_settings_table_is_the_one_that_the_command_prints():
    printed = CliRunner().invoke(build(), ["settings", "--markdown"]).output.strip()
    written = README.split("<!-- settings -->\n")[1].split("\n<!-- /settings -->")[0].strip()
    assert written == printed


def test_every_setting_and_no_other_is_in_the_table():
    known = {PREFIX + name.upper() for one in SETTINGS for name in one.model_fields}
    table = README.split("<!-- settings -->\n")[1].split("<!-- /settings -->")[0]
    assert set(re.findall(r"^\| `(FRESHET_\w+)`", table, re.MULTILINE)) == known


def test_the_filter_table_has_the_filters_in_run_order():
    table = README.split("| filter, in run order |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `(\w+)`", table, re.MULTILINE) == list(FILTERS)


def test_the_two_commands_are_targets_of_the_makefile():
    makefile = (ROOT / "Makefile").read_text()
    assert re.findall(r"^make (\w+)", README, re.MULTILINE) == ["demo", "test"]
    assert all(f"\n{target}:" in makefile for target in ("demo", "test", "check", "bench", "help"))
    assert "make test" in (ROOT / ".ci" / "run").read_text()


def test_every_command_in_the_readme_exists():
    names = {name for name, _ in COMMANDS}
    assert set(re.findall(r"^freshet ([a-z-]+)", README, re.MULTILINE)) <= names


def test_every_source_has_a_file_of_its_own_and_features():
    from serving.features import FAMILIES

    assert SOURCES.keys() <= FAMILIES.keys()
    files = {path.stem for path in (ROOT / "serving" / "sources").glob("[a-z]*.py")}
    assert len(files - {"merging"}) == len(SOURCES)


def test_packages_are_listed_by_name_and_complete():
    pyproject = (ROOT / "pyproject.toml").read_text()
    listed = set(re.findall(r'"([a-z_.]+)"', pyproject.split("packages = [")[1].split("]")[0]))
    rooms = ("domain", "tracing", "embeddings", "learning", "stream", "serving", "freshet", "cli")
    found = {
        ".".join(folder.relative_to(ROOT).parts)
        for room in rooms
        for folder in [ROOT / room, *(ROOT / room).rglob("*/")]
        if any(folder.glob("*.py"))
    }
    assert listed == found


def test_every_dependency_is_pinned_and_has_its_reason():
    lists = (ROOT / "pyproject.toml").read_text().split("\ndependencies = [")[1].split("[project.scripts]")[0]
    lines = [line for line in lists.splitlines() if line.startswith('  "')]
    assert len(lines) > 20
    for line in lines:
        assert re.match(r'  "[\w-]+==[\w.]+",\s*# \w', line), line


def test_the_light_install_needs_nothing_of_the_server():
    """The command line and the client start without loading, or even having, what the server needs."""
    heavy = "{'torch', 'transformers', 'faust', 'faiss', 'fastapi', 'aiokafka', 'uvicorn', 'prometheus_client'}"
    code = f"import sys, cli.main, freshet; print(*{heavy} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""

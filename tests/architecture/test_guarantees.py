"""docs/guarantees.md names tests that exist, and commands of the Makefile that do."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guarantees.md").read_text()


def test_each_test_that_a_guarantee_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", PAGE)
    assert len(named) > 20
    for path, test in named:
        assert f"def {test}" in (ROOT / path).read_text(), f"{path}::{test}"


def test_each_guarantee_names_what_holds_it():
    promises = re.findall(r"^\*\*.*?(?=^\*\*|^## |\Z)", PAGE, re.M | re.S)
    assert len(promises) > 15
    assert [one.split("**")[1] for one in promises if "`tests/" not in one] == []


def test_each_make_target_that_it_names_exists():
    makefile = (ROOT / "Makefile").read_text()
    for target in set(re.findall(r"`make ([\w-]+)`", PAGE)):
        assert re.search(rf"^{target}:", makefile, re.M), target

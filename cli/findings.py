"""What a check of `freshet doctor` found: one line of plain words, and what to do."""

from dataclasses import dataclass
from typing import Literal

State = Literal["ok", "wrong", "not checked"]


@dataclass(frozen=True)
class Finding:
    """One check's result. `remedy` is a command or a setting; empty if there is nothing to do."""

    state: State
    check: str
    found: str
    remedy: str = ""

    def line(self) -> str:
        """The finding as one line of text."""
        do = f"; do: {self.remedy}" if self.remedy else ""
        return " ".join(f"{self.state:12} {self.check:16} {self.found}{do}".splitlines())


def ok(check: str, found: str, remedy: str = "") -> Finding:
    """A check that found nothing wrong; `remedy` is then a hint."""
    return Finding("ok", check, found, remedy)


def wrong(check: str, found: str, remedy: str = "") -> Finding:
    """A check that found something wrong."""
    return Finding("wrong", check, found, remedy)


def not_checked(check: str, why: str, remedy: str = "") -> Finding:
    """A check that could not be made, or need not be."""
    return Finding("not checked", check, why, remedy)

"""When the garbage collector looks, in a process that keeps more and more."""

import gc
from collections.abc import Iterator

import pytest

from domain.garbage import collect_rarely, pass_over_what_is_here


@pytest.fixture
def looks() -> Iterator[list[int]]:
    found: list[int] = []
    before = gc.get_threshold()

    def noted(phase: str, told: dict[str, int]) -> None:
        if phase == "start":
            found.append(told["generation"])

    gc.callbacks.append(noted)
    yield found
    gc.callbacks.remove(noted)
    gc.set_threshold(*before)
    gc.unfreeze()


def test_what_is_kept_is_never_looked_through_whole(looks: list[int]):
    collect_rarely(1_000)
    kept: list[list[int]] = []
    for number in range(300_000):
        kept.append([number])
    assert 0 in looks and 1 in looks and 2 not in looks


def test_what_is_there_is_passed_over_from_then_on(looks: list[int]):
    pass_over_what_is_here()
    assert len(gc.get_objects()) < 1_000
    new = [[number] for number in range(10)]
    assert any(one is new for one in gc.get_objects())

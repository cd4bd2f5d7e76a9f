"""How a worker shares the processors of its machine with the others."""

import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from cli.children import Child
from domain.items import Item
from stream import priority
from stream.priority import AUTOGROUP
from tests.system import System

GIVES_WAY = """
import os, sys
from pathlib import Path
from stream.priority import give_way
os.nice(int(sys.argv[1]))
give_way(int(sys.argv[2]))
print(os.getpriority(os.PRIO_PROCESS, 0), *Path("/proc/self/autogroup").read_text().split()[-1:])
"""


def test_a_worker_gives_way_and_a_replica_does_not(system: System):
    worker, replica = system.start_worker(), system.start_replica(search=False)
    system.send_items([Item(item_id="i1", title="A train", published_at=1)])
    system.embedded(1)
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert nice(worker) == {max(5, own)} and nice(replica) == {own}
    if AUTOGROUP.exists():  # each has a session of its own
        assert (session(worker.pid), session(replica.pid)) == ([max(5, own)], [0])


def nice(child: Child) -> set[int]:
    """How far a process's threads give way, as far as they live on."""
    found = set()
    for thread in os.listdir(f"/proc/{child.pid}/task"):
        with suppress(ProcessLookupError):
            found.add(os.getpriority(os.PRIO_PROCESS, int(thread)))
    return found


def session(process: int | str) -> list[int]:
    """How far a process's session gives way; empty for the machine's first, whose processes have no group."""
    return [int(one) for one in Path(f"/proc/{process}/autogroup").read_text().split()[-1:]]


@pytest.mark.skipif(not AUTOGROUP.exists(), reason="this kernel does not group processes by session")
@pytest.mark.parametrize(("own_session", "more", "asked"), [(True, 0, 5), (False, 0, 5), (True, 9, 5), (True, 0, 0)])
def test_a_session_of_its_own_gives_way_as_a_whole_and_one_that_others_share_does_not(
    own_session: bool, more: int, asked: int
):
    command = [sys.executable, "-c", GIVES_WAY, str(more), str(asked)]
    said = subprocess.run(command, start_new_session=own_session, capture_output=True, text=True, check=True)
    nice = max(asked, os.getpriority(os.PRIO_PROCESS, 0) + more)
    group = [nice * (asked > 0)] if own_session else session("self")
    assert [int(one) for one in said.stdout.split()] == [nice, *group]


def test_the_machines_first_session_which_has_no_group_is_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    empty = tmp_path / "autogroup"
    empty.touch()
    monkeypatch.setattr(priority, "AUTOGROUP", empty)
    priority._lower_session(5)
    assert (empty.read_text(), caplog.messages) == ("", [])

"""What a worker does where it shares its processors: it gives way. A replica answers people, a worker can catch up."""

import logging
import os
import time
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)

AUTOGROUP = Path("/proc/self/autogroup")
"""The priority of this process's session among the others; sched(7)."""

TRIES = 20


def give_way(by: int) -> None:
    """Lowers the priority of this process, all its threads; it is never raised. Where that is forbidden it says so.

    Where Linux groups processes by session, priorities count within a session only: of one that this process leads, as
    a child of the demo does, it lowers that of the whole.

    Args:
        by: from 0, as others, to 19, when nobody else wants the processor (setpriority(2)).
    """
    nice = max(by, os.getpriority(os.PRIO_PROCESS, 0))
    try:
        for thread in [int(one.name) for one in Path("/proc/self/task").glob("*")] or [0]:  # Linux has one for each
            with suppress(ProcessLookupError):  # it has ended meanwhile
                os.setpriority(os.PRIO_PROCESS, thread, nice)
    except PermissionError as error:
        log.warning("this process cannot give way to others: %s (FRESHET_WORKER_NICE=%d)", error, by)
        return
    if by > 0 and os.getsid(0) == os.getpid():
        _lower_session(nice)


def _lower_session(nice: int) -> None:
    for _ in range(TRIES):
        try:
            said = AUTOGROUP.read_text().split()  # nothing where the session is the machine's first, which has no group
            if said and int(said[-1]) < nice:
                AUTOGROUP.write_text(str(nice))
        except BlockingIOError:  # Linux lets who is not root set one in a tenth of a second, on the whole machine
            time.sleep(0.1)
        except FileNotFoundError:  # this kernel does not group
            return
        except OSError as error:
            log.warning("this session cannot give way to others: %s", error)
            return
        else:
            return
    log.warning("this session cannot give way to others: Linux had no moment for it in %d tries", TRIES)

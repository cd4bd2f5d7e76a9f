"""What the live page costs the replica: its latency with pages open and without, and the processor time that it takes.

    python -m bench.pages

A page is what it does: one GET /v1/live a second. The browser that draws it is somebody else's machine, so here it is
a connection (bench/peers.py `load`). Events flow all the while, so that the page has something to read.
"""

import time
from statistics import median

from bench.deployment import Deployment, Replica, cpu_seconds, deployment, say
from bench.report import Figure, report
from bench.workload import interactions, items
from domain.clock import system_clock
from serving.log_tail import IDLE_S

COMMAND = "python -m bench.pages"
ITEMS, USERS, EVENTS = 500, 1_000, 10_000
MANY, ROUNDS, CONNECTIONS, SECONDS, FLOW = 10, 3, 8, 6, 20
SLATES = 40.0
"""Recommendations a second: some fifth of what a replica can, so that what is seen is cost and not a queue."""

BEGIN_S = 1.5
"""What a peer takes to start, which is not the page's cost."""

APPLIED = "freshet_stream_interactions_total"


def main() -> None:
    """Measures and reports: medians of several rounds, so that what else the machine does falls on all alike."""
    told: dict[int, list[dict[str, float]]] = {0: [], 1: [], MANY: []}
    with deployment() as running:
        say("starting everything, learning from a made-up history")
        replica = _fed(running)
        running.peer("flow", FLOW, 600, ITEMS)
        for pages in [*told] * ROUNDS:
            told[pages].append(_watched(running, replica, pages))
    found = {pages: {name: median(one[name] for one in rounds) for name in rounds[0]} for pages, rounds in told.items()}
    report("pages", [*_beside_nobody(found, 1, "one_page"), *_beside_nobody(found, MANY, f"{MANY}_pages")], COMMAND)


def _beside_nobody(found: dict[int, dict[str, float]], pages: int, name: str) -> list[Figure]:
    nobody, watched = found[0], found[pages]
    return [
        Figure(f"recommendation_p50_{name}", watched["p50"], "ms", "nobody_looks", nobody["p50"]),
        Figure(f"recommendation_p99_{name}", watched["p99"], "ms", "nobody_looks", nobody["p99"]),
        Figure(f"replica_cpu_{name}", watched["cpu"], "% of a core", "nobody_looks", nobody["cpu"]),
        Figure(f"live_answer_p50_{name}", watched["live_p50"], "ms", "recommendation", watched["p50"]),
    ]


def _fed(running: Deployment) -> Replica:
    now = system_clock()
    worker, replica = running.worker(session_timeout_s=6), running.replica(search=False)
    running.send(items(ITEMS, now), interactions(EVENTS, USERS, ITEMS, now), EVENTS)
    running.until(lambda: worker.counted(APPLIED) == EVENTS)
    running.until(lambda: replica.holds(items=ITEMS, vectors=ITEMS))
    return replica


def _watched(running: Deployment, replica: Replica, pages: int) -> dict[str, float]:
    """Asks for slates while so many pages are open; returns milliseconds, and `cpu`: the replica's, in % of a core."""
    looks = running.peer("load", replica.url + "/v1/live", pages, SECONDS + 4, 1, pages) if pages else None
    time.sleep(BEGIN_S if pages else IDLE_S + 2)  # with nobody there: until the reader of the log is closed
    began, before = time.monotonic(), cpu_seconds(replica.child.pid)
    slates = replica.url + "/v1/users/user-{}/recommendations"
    told = running.told(running.peer("load", slates, CONNECTIONS, SECONDS, USERS, SLATES), 3 * SECONDS)
    told["cpu"] = 100 * (cpu_seconds(replica.child.pid) - before) / (time.monotonic() - began)
    if looks is not None:
        told["live_p50"] = running.told(looks, 3 * SECONDS)["p50"]
    say(f"  {pages} pages: {told}")
    return told


if __name__ == "__main__":
    main()

"""What the live page costs the replica: its latency with pages open and without, and its processor time at rest.

    python -m bench.pages

A page is what it does: one GET /v1/live a second. The browser that draws it is somebody else's machine, so here it is
a connection (bench/peers.py `load`). Events flow all the while, so that the page has something to read.
"""

import json
import time

from bench.deployment import Deployment, Replica, cpu_seconds, deployment, say
from bench.report import Figure, report
from bench.workload import interactions, items
from cli.children import Child
from domain.clock import system_clock

ITEMS, USERS, EVENTS = 500, 1_000, 10_000
PAGES, CONNECTIONS, SECONDS, FLOW = 10, 8, 10, 20
SLATES = 40.0
"""Recommendations a second: some fifth of what a replica can, so that what is seen is cost and not a queue."""

APPLIED = "freshet_stream_interactions_total"


def main() -> None:
    """Measures and reports."""
    with deployment() as running:
        say("starting everything, learning from a made-up history")
        replica = _fed(running)
        flow = running.peer("flow", FLOW, 300, ITEMS)
        alone, alone_cpu = _watched(running, replica, 0)
        one, one_cpu = _watched(running, replica, 1)
        many, many_cpu = _watched(running, replica, PAGES)
        again, again_cpu = _watched(running, replica, 0)
        running.stop(flow)
    nobody = {name: (alone[name] + again[name]) / 2 for name in alone}
    cpu = 100 * (alone_cpu + again_cpu) / 2
    report(
        "pages",
        [
            Figure("recommendation_p50_one_page", one["p50"], "ms", "nobody_looks", nobody["p50"]),
            Figure("recommendation_p99_one_page", one["p99"], "ms", "nobody_looks", nobody["p99"]),
            Figure(f"recommendation_p50_{PAGES}_pages", many["p50"], "ms", "nobody_looks", nobody["p50"]),
            Figure(f"recommendation_p99_{PAGES}_pages", many["p99"], "ms", "nobody_looks", nobody["p99"]),
            Figure("replica_cpu_one_page", 100 * one_cpu, "% of a core", "nobody_looks", cpu),
            Figure(f"replica_cpu_{PAGES}_pages", 100 * many_cpu, "% of a core", "nobody_looks", cpu),
            Figure("live_answer_p50", many["live_p50"], "ms", "recommendation_p50", many["p50"]),
        ],
        "python -m bench.pages",
    )


def _fed(running: Deployment) -> Replica:
    now = system_clock()
    worker, replica = running.worker(session_timeout_s=6), running.replica(search=False)
    running.send(items(ITEMS, now), interactions(EVENTS, USERS, ITEMS, now), EVENTS)
    running.until(lambda: worker.counted(APPLIED) == EVENTS)
    running.until(lambda: replica.holds(items=ITEMS, vectors=ITEMS))
    return replica


def _watched(running: Deployment, replica: Replica, pages: int) -> tuple[dict[str, float], float]:
    """Asks for slates while so many pages are open; returns milliseconds, and the share of a core the replica took."""
    time.sleep(6)  # longer than a reader of the log stays open after the last look
    before, began = cpu_seconds(replica.child.pid), time.monotonic()
    slates = running.peer(
        "load", replica.url + "/v1/users/user-{}/recommendations", CONNECTIONS, SECONDS, USERS, SLATES
    )
    looks = running.peer("load", replica.url + "/v1/live", pages, SECONDS, 1, pages) if pages else None
    told = _told(running, slates)
    if looks is not None:
        told["live_p50"] = _told(running, looks)["p50"]
    share = (cpu_seconds(replica.child.pid) - before) / (time.monotonic() - began)
    say(f"  {pages} pages: {told}, {100 * share:.0f} % of a core")
    return told, share


def _told(running: Deployment, child: Child) -> dict[str, float]:
    deadline = time.monotonic() + 3 * SECONDS
    while child.status() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    told: dict[str, float] = json.loads(child.log_path.read_text().splitlines()[-1])
    running.forget(child)
    return told


if __name__ == "__main__":
    main()

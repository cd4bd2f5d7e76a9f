"""Requests a second that one replica answers, beside a FastAPI route that returns a constant of the same size.

    python -m bench.serving

A real replica, fed by a real worker through the embedded broker, and 8 keep-alive connections from another
process (bench/peers.py `load`: plain asyncio, which itself takes a part of the two cores, in both cases).
"""

import json
import time

import httpx

from bench.deployment import Deployment, Replica, answers, deployment, say
from bench.report import Figure, report
from bench.workload import interactions, items
from cli.broker import HOST, free_port
from cli.children import Child
from domain.clock import system_clock

ITEMS, USERS, EVENTS = 2_000, 2_000, 40_000
CONNECTIONS, SECONDS = 8, 8
APPLIED = "freshet_stream_interactions_total"
ANSWERS = 50
"""Answers from which the size of the constant is averaged."""


def main() -> None:
    """Measures and reports."""
    with deployment() as running:
        say("starting everything, learning from a made-up history")
        replica = _fed(running)
        size = _size(replica)
        port = free_port()
        running.peer("constant", port, size)
        constant = f"http://{HOST}:{port}/{size}"
        running.until(lambda: answers(constant))
        plain = replica.url + "/v1/users/user-{}/recommendations"
        explained = plain + "?explain=true"
        say(f"{CONNECTIONS} connections, answers of {size} bytes on average")
        floor = _load(running, constant, 0)
        best = _load(running, plain, 0)
        best_explained = _load(running, explained, 0)
        half = _load(running, plain, best["rate"] / 2)
        floor_half = _load(running, constant, best["rate"] / 2)
    report(
        "serving",
        [
            Figure("recommendations_per_second", best["rate"], "1/s", "constant_route", floor["rate"]),
            Figure(
                "recommendations_per_second_explained", best_explained["rate"], "1/s", "constant_route", floor["rate"]
            ),
            Figure("recommendation_p50", half["p50"], "ms", "constant_route_same_load", floor_half["p50"]),
            Figure("recommendation_p99", half["p99"], "ms", "constant_route_same_load", floor_half["p99"]),
        ],
        "python -m bench.serving",
    )


def _fed(running: Deployment) -> Replica:
    now = system_clock()
    worker, replica = running.worker(session_timeout_s=6), running.replica()
    running.send(items(ITEMS, now), interactions(EVENTS, USERS, ITEMS, now), EVENTS)
    running.until(lambda: worker.counted(APPLIED) == EVENTS)
    running.until(lambda: replica.holds(items=ITEMS, vectors=ITEMS))
    running.stop(worker.child)  # what is measured is a replica at rest, not a machine that learns
    return replica


def _size(replica: Replica) -> int:
    urls = [f"{replica.url}/v1/users/user-{at}/recommendations" for at in range(ANSWERS)]
    return sum(len(httpx.get(url).content) for url in urls) // ANSWERS


def _load(running: Deployment, url: str, rate: float) -> dict[str, float]:
    """Asks for SECONDS, as fast as it goes or at a rate; returns the rate reached and milliseconds."""
    child: Child = running.peer("load", url, CONNECTIONS, SECONDS, USERS, rate)
    deadline = time.monotonic() + SECONDS * 3
    while child.status() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    told: dict[str, float] = json.loads(child.log_path.read_text().splitlines()[-1])
    running.forget(child)
    say(f"  {url.split('/', 3)[3]}: {told}")
    return told


if __name__ == "__main__":
    main()

"""Requests a second that one replica answers, beside a FastAPI route that returns a constant of the same size.

    python -m bench.serving [THOUSANDS]

A real replica of 100,000 users with 20 interactions each and 100,000 items, started from a made-up snapshot
(bench/made_model.py), and 8 keep-alive connections from another process (bench/peers.py `load`: plain asyncio, which
itself takes a part of the two cores, in both cases). The constant route runs on uvicorn, as a replica does, and where
granian is installed (`pip install granian`) on that as well.

And what a filter of the request's own leaves of a page: of a category with one item in 40, and where one in a hundred
and one in a thousand passes.
"""

import sys
from contextlib import closing
from importlib.util import find_spec

import httpx

from bench.deployment import Deployment, Replica, answers, deployment, say
from bench.made_model import SHELVES, write
from bench.report import Figure, percentile, report
from cli.broker import HOST, free_port
from domain.clock import system_clock
from domain.settings import ServingSettings, load_settings
from serving.snapshot.place import RESUMED, Place, origins

THOUSANDS = 100
CONNECTIONS, SECONDS = 8, 8
ANSWERS = 50
"""Answers from which the size of the constant is averaged."""

FILTERS: dict[str, dict[str, object] | None] = {
    "none": None,
    "category": {"categories": ["genre-7"]},
    "1_percent": {"attributes": {"shelf": {"max": SHELVES // 100 - 1}}},
    "1_permille": {"attributes": {"shelf": 0}},
}
FILTERED = 100
"""Requests with each filter, one after the other."""


def main() -> None:
    """Measures and reports."""
    count = 1000 * int(sys.argv[1] if len(sys.argv) > 1 else THOUSANDS)
    with deployment() as running:
        say(f"making up {count:,} users and {count:,} items, starting from them")
        replica = _started(running, count)
        size = _size(replica)
        plain = replica.url + "/v1/users/user-{}/recommendations"
        explained = plain + "?explain=true"
        constant = _constant(running, "uvicorn", size)
        say(f"{CONNECTIONS} connections, answers of {size} bytes on average")
        floor = _load(running, constant, count)
        best = _load(running, explained, count)
        unexplained = _load(running, plain, count)
        half = _load(running, explained, count, best["rate"] / 2)
        floor_half = _load(running, constant, count, best["rate"] / 2)
        filtered = _filtered(replica)
        other = _load(running, _constant(running, "granian", size), count) if find_spec("granian") else None
    beside = ("constant_route", floor["rate"])
    figures = [
        Figure("recommendations_per_second", best["rate"], "1/s", *beside),
        Figure("recommendations_per_second_unexplained", unexplained["rate"], "1/s", *beside),
        Figure("recommendation_p50", half["p50"], "ms", "constant_route_same_load", floor_half["p50"]),
        Figure("recommendation_p99", half["p99"], "ms", "constant_route_same_load", floor_half["p99"]),
    ]
    figures += filtered
    if other is not None:
        figures.append(Figure("constant_route_granian", other["rate"], "1/s", *beside))
    report("serving", figures, "python -m bench.serving")


def _started(running: Deployment, count: int) -> Replica:
    """A replica at rest: nothing is learned while requests are measured."""
    folder = running.folder / "snapshot"
    settings = load_settings(ServingSettings, **{**running.settings.model_dump(), "snapshot_path": str(folder)})
    offsets = {settings.topic(name): dict.fromkeys(range(settings.partitions), 0) for name in RESUMED}
    with closing(origins(settings)) as asked:
        write(settings, count, count, place=Place(next(asked), offsets, system_clock()))
    replica = running.replica(snapshot_path=folder, search=False)
    running.until(lambda: replica.holds(items=count, vectors=count, profiles=count))
    return replica


def _constant(running: Deployment, server: str, size: int) -> str:
    port = free_port()
    running.peer("constant", port, server, size)
    url = f"http://{HOST}:{port}/{size}"
    running.until(lambda: answers(url))
    return url


def _size(replica: Replica) -> int:
    urls = [f"{replica.url}/v1/users/user-{at}/recommendations?explain=true" for at in range(ANSWERS)]
    return sum(len(httpx.get(url).content) for url in urls) // ANSWERS


def _filtered(replica: Replica) -> list[Figure]:
    """Asks with each filter: how many items are on the page, and how long it takes."""
    found: dict[str, tuple[float, float]] = {}
    with httpx.Client() as client:
        for name, wanted in FILTERS.items():
            took_ms, items = [], 0
            for at in range(FILTERED):
                told = client.post(
                    f"{replica.url}/v1/recommendations", json={"user_id": f"user-{at}", "filter": wanted}
                )
                took_ms.append(told.elapsed.total_seconds() * 1000)
                items += len(told.json()["items"])
            found[name] = items / FILTERED, percentile(took_ms, 0.5)
    usual_items, usual_ms = found.pop("none")
    pages = [
        Figure(f"filtered_{name}_items", items, "", "unfiltered", usual_items) for name, (items, _) in found.items()
    ]
    return pages + [Figure(f"filtered_{name}_p50", ms, "ms", "unfiltered", usual_ms) for name, (_, ms) in found.items()]


def _load(running: Deployment, url: str, users: int, rate: float = 0) -> dict[str, float]:
    """Asks for SECONDS, as fast as it goes or at a rate; returns the rate reached and milliseconds."""
    told = running.told(running.peer("load", url, CONNECTIONS, SECONDS, users, rate), 3 * SECONDS)
    say(f"  {url.split('/', 3)[3]}: {told}")
    return told


if __name__ == "__main__":
    main()

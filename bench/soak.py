"""Whether memory, lag and latency drift while a broker, a worker and a replica run under a steady load.

    python -m bench.soak [MINUTES]

RATE events a second of users whose profiles are full already and of items whose signals are, so nothing that is
remembered has a reason to grow; and ASKED recommendations a second, timed from when each was due. On Apache Kafka where
KAFKA_HOME names one, else on the embedded broker, whose requests take longer the more batches a partition holds: then
its own memory and the latency drift for that reason. MINUTES is 15; the first quarter is left out as warming up.

For each quantity: its mean, and beside it how much it changed an hour, with the ends of the 95 % interval. A drift is
one whose interval leaves out 0, and of more than a quarter of a percent a day.
"""

import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from time import perf_counter, sleep

import httpx

from bench.deployment import Deployment, Replica, Worker, brokers, deployment, say
from bench.drift import Drift, drift
from bench.memory import memory
from bench.report import Figure, report
from bench.workload import interactions, items
from cli.progress import progress
from domain.clock import system_clock

RATE = {"embedded": 20, "apache": 100}
ASKED, CONNECTIONS, SAMPLE_S = 10, 2, 1.0
ITEMS, USERS, EVENTS, PROFILE_SIZE = 60, 100, 12_000, 50
"""A hundred users with 120 events each fill profiles of 50, and each partition's signals with nearly all pairs of so
few items: with 300 there were new pairs all the time, 800 bytes of them an event in the worker."""

APPLIED = "freshet_stream_interactions_total"
UNITS = {"memory": "MiB", "lag": "records", "latency": "ms", "applied": "1/s"}
Samples = dict[str, list[tuple[float, float]]]


def main() -> None:
    """Measures and reports."""
    minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 15.0
    broker = brokers()[-1]
    say(f"starting everything on the {broker} broker, filling profiles and signals")
    with deployment(broker) as running:
        now = system_clock()
        worker, replica = running.worker(session_timeout_s=6, profile_size=PROFILE_SIZE), running.replica()
        running.send(items(ITEMS, now), interactions(EVENTS, USERS, ITEMS, now), EVENTS)
        running.until(lambda: worker.counted(APPLIED) == EVENTS)
        running.until(lambda: replica.holds(items=ITEMS, vectors=ITEMS))
        say(f"{minutes:g} minutes of {RATE[broker]} events and {ASKED} recommendations a second")
        seconds = minutes * 60
        running.peer("steady", RATE[broker], int(seconds) + 60, ITEMS, USERS)
        samples = _sampled(running, worker, replica, seconds)
    drifts = {name: drift(*zip(*some, strict=True)) for name, some in samples.items()}
    report("soak", [figure for name, one in drifts.items() for figure in _figures(name, one)], "python -m bench.soak")
    for name, one in drifts.items():
        say(f"{name}: {'drifts' if one.is_sure else 'no drift'}")


def _sampled(running: Deployment, worker: Worker, replica: Replica, seconds: float) -> Samples:
    samples: Samples = defaultdict(list)
    stop = threading.Event()
    asking = [threading.Thread(target=_ask, args=(replica, samples, stop)) for _ in range(CONNECTIONS)]
    for one in asking:
        one.start()
    try:
        started, before = perf_counter(), worker.counted(APPLIED)
        for at in progress(range(int(seconds / SAMPLE_S)), "soaking", "samples", int(seconds / SAMPLE_S)):
            sleep(max(0.0, started + (at + 1) * SAMPLE_S - perf_counter()))
            now, applied = perf_counter(), worker.counted(APPLIED)
            told = {**_memories(running), "lag": _lag(replica), "applied_per_second": applied - before}
            before = applied
            for name, value in told.items():
                samples[name].append((now, value))
    finally:
        stop.set()
        for one in asking:
            one.join()
    return samples


def _ask(replica: Replica, samples: Samples, stop: threading.Event) -> None:
    """Asks for recommendations, each when it is due; a late answer counts for those that wait behind it."""
    pause, due = CONNECTIONS / ASKED, perf_counter()
    with httpx.Client(base_url=replica.url) as client:
        turn = 0
        while not stop.is_set():
            sleep(max(0.0, due - perf_counter()))
            client.get(f"/v1/users/user-{turn % USERS}/recommendations").raise_for_status()
            samples["latency"].append((due, 1000 * (perf_counter() - due)))
            turn, due = turn + 1, due + pause


def _memories(running: Deployment) -> dict[str, float]:
    found = {f"memory_{name}": memory(pid)[0] / 2**20 for name, pid in running.processes().items()}
    return {name: mib for name, mib in found.items() if mib}


def _lag(replica: Replica) -> float:
    return float(httpx.get(f"{replica.url}/health/ready").json()["lag_records"])


def _figures(name: str, one: Drift) -> Iterator[Figure]:
    unit = UNITS[name.split("_", maxsplit=1)[0]]
    yield Figure(f"{name}_an_hour", one.slope, f"{unit}/h", "mean", one.mean)
    yield Figure(f"{name}_an_hour_low", one.low, f"{unit}/h")
    yield Figure(f"{name}_an_hour_high", one.high, f"{unit}/h")


if __name__ == "__main__":
    main()

"""`make crash`: dozens of processes killed while a log flows, and the hashes beside those of a calm run.

usage: python -m tests.crash [--seed N] [--kills N] [--embedded]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.broker import EmbeddedBroker
from domain.clock import system_clock
from domain.settings import KafkaSettings, load_settings
from stream.topic_admin import create_topics
from tests.apache_kafka import apache_kafka
from tests.havoc import Feed, Havoc, as_producers_send, calm_hashes, compacted_hashes, log_of
from tests.system import QuickSystem, System

EVENTS_PER_KILL = 200


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill processes while a log flows; compare with a calm run.")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--embedded", action="store_true", help="on the embedded broker, although KAFKA_HOME is set")
    given = parser.parse_args()
    started = time.monotonic()
    with _broker(given.embedded) as (name, overrides), tempfile.TemporaryDirectory(prefix="freshet-crash-") as folder:
        print(f"{name}, seed {given.seed}", flush=True)
        log = log_of(given.seed, given.kills * EVENTS_PER_KILL, system_clock())
        with _system("calm", overrides, folder) as calm:
            wanted = calm_hashes(calm, log)
        with _system("fire", overrides, folder) as system:
            found = _under_fire(system, log, given.seed, given.kills)
    for what, hashes in {"calm run": wanted, **found}.items():
        print(f"{what:16}", *(f"{state} {one}" for state, one in hashes.items()))
    equal = all(one == wanted for one in found.values())
    print(f"{'equal' if equal else 'NOT EQUAL'} after {time.monotonic() - started:.0f} s")
    return 0 if equal else 1


def _under_fire(system: System, log: list, seed: int, kills: int) -> dict[str, dict[str, str]]:
    sent = as_producers_send(log, seed)
    feed = Feed(system, sent, per_second=EVENTS_PER_KILL / 4)
    havoc = Havoc(system, feed, seed)
    havoc.wreak(kills, longest_s=1)
    havoc.calm_down()
    feed.drain()
    counts = ", ".join(f"{count} {what}" for what, count in sorted(havoc.ended.items()))
    print(f"{havoc.kills()} kills ({counts}); {len(log):,} records, sent as {len(sent):,}", flush=True)
    topics = system.hashes()
    system.until(lambda: system.replica_hashes() == topics)
    system.until(lambda: compacted_hashes(system) == topics)
    havoc.check_learner(len(log))
    return {"topics": topics, "replica": system.replica_hashes(), "compacted": compacted_hashes(system)}


@contextmanager
def _broker(embedded: bool) -> Iterator[tuple[str, dict[str, object]]]:
    home = os.environ.get("KAFKA_HOME")
    if embedded or not home:
        with EmbeddedBroker() as broker:
            yield "embedded broker", {"bootstrap_servers": broker.bootstrap_servers, "fetch_max_wait_ms": 5}
    else:
        with apache_kafka(Path(home)) as node:
            yield "Apache Kafka", {"bootstrap_servers": node.bootstrap_servers}


@contextmanager
def _system(name: str, overrides: dict[str, object], folder: str) -> Iterator[System]:
    own = {**overrides, "topic_prefix": f"{name}-", "partitions": 4}
    settings = load_settings(KafkaSettings, **own)
    create_topics(settings)
    logs = Path(folder) / name
    logs.mkdir()
    running = QuickSystem(settings, own, logs)
    try:
        yield running
    finally:
        running.close()


if __name__ == "__main__":
    sys.exit(main())

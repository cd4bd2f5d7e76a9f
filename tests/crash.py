"""`make crash`: dozens of processes killed while a log flows, and the hashes beside those of a calm run.

usage: python -m tests.crash [--seed N] [--kills N] [--embedded]
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cli.broker import EmbeddedBroker
from domain.clock import system_clock
from domain.settings import KafkaSettings, load_settings
from stream.topic_admin import create_topics
from tests.apache_kafka import apache_kafka
from tests.feeding import Fed, Feed, as_producers_send, changes_of, log_of
from tests.havoc import Havoc, calm_hashes, hashes_under_fire
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
        now_ms = system_clock()
        log, changes = log_of(given.seed, given.kills * EVENTS_PER_KILL, now_ms), changes_of(given.seed, now_ms)
        with _system("calm", overrides, folder) as calm:
            wanted = calm_hashes(calm, log, changes)
        with _system("fire", overrides, folder) as system:
            found = list(_under_fire(system, [log, changes], wanted, given.seed, given.kills))
    equal = all(one == calm for calm, hashes in zip(wanted, found, strict=True) for one in hashes.values())
    print(f"{'equal' if equal else 'NOT EQUAL'} after {time.monotonic() - started:.0f} s")
    return 0 if equal else 1


def _under_fire(
    system: System, logs: Sequence[list[Fed]], wanted: Sequence[dict[str, str]], seed: int, kills: int
) -> Iterator[dict[str, dict[str, str]]]:
    """The log first, then what happens to users, with a tenth of the kills."""
    havoc = Havoc(system, seed)
    later = max(1, kills // 10)
    for log, calm, share in zip(logs, wanted, (kills - later, later), strict=True):
        sent = as_producers_send(log, seed)
        feed = Feed(system, sent, per_second=EVENTS_PER_KILL / 4)
        found = hashes_under_fire(system, havoc, feed, share, calm)
        counts = ", ".join(f"{count} {what}" for what, count in sorted(havoc.ended.items()))
        print(f"{havoc.kills()} kills so far ({counts}); {len(log):,} records, sent as {len(sent):,}")
        for what, hashes in {"calm run": calm, **found}.items():
            print(f"  {what:10}", *(f"{state} {one}" for state, one in hashes.items()), flush=True)
        yield found
    havoc.check_learner(len(logs[0]))


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

"""Events a second that one stream worker takes in, beside a stock Faust agent and the limit of aiokafka.

    python -m bench.ingest

A topic of four partitions is filled first: 60,000 events of 2,000 users on 2,000 items, with a long tail.
Then three things read it, one after the other, on the same embedded broker:

* the worker: decode, deduplicate, profiles, signals, all written to Kafka. It counts from the first events
  it applied to the moment when it has committed the last ones, which it does when all they gave rise to
  is durable. Profiles remember 200 interactions, commits every 0.2 s, everything else by default.
* a stock Faust application whose one agent counts and does nothing else.
* aiokafka alone: reads the same records and writes the very records that the worker wrote, nothing in between.

Three times, on a new broker each time; the better round of each counts.

Then one worker and two, each on a new broker with twice as many events in 8 partitions: from the moment when all of
them work to the last commit, with the share of the machine's cores that the workers used. And the bytes that a
worker writes for each event by the length of the histories (`bench/written.py`).
"""

import asyncio
import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import uvloop
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from kafka.admin import KafkaAdminClient

from bench.deployment import Deployment, cpu_seconds, deployment, say
from bench.report import Figure, report
from bench.workload import interactions
from bench.written import written_figures
from domain.clock import system_clock
from domain.errors import FreshetError
from domain.log_reader import Record, read_to_end
from domain.topics import INTERACTIONS, ITEM_SIGNALS, USER_PROFILES

EVENTS, USERS, ITEMS, ROUNDS = 60_000, 2_000, 2_000, 3
SCALED_EVENTS, SCALED_PARTITIONS = 2 * EVENTS, 8
OUTPUT = "limit-output"
APPLIED = "freshet_stream_interactions_total"


@dataclass(frozen=True)
class Taken:
    """What some events took."""

    events: float
    seconds: float
    cpu_seconds: float

    @property
    def rate(self) -> float:
        """Events a second."""
        return self.events / self.seconds

    @property
    def cores(self) -> float:
        """Cores that were busy with it, on average."""
        return self.cpu_seconds / self.seconds

    @property
    def cpu_us(self) -> float:
        """Processor time for each event."""
        return self.cpu_seconds / self.events * 1e6


def main() -> None:
    """Measures and reports."""
    rounds = []
    for number in range(ROUNDS):
        say(f"round {number + 1} of {ROUNDS}")
        with deployment() as running:
            rounds.append(_round(running))
    worker, stock, limit = (max((one[at] for one in rounds), key=lambda taken: taken.rate) for at in range(3))
    *_, profiles, signals = rounds[-1]
    report(
        "ingest",
        [
            Figure("worker_events_per_second", worker.rate, "1/s", "stock_faust_agent", stock.rate),
            Figure("worker_events_per_second_of_limit", worker.rate, "1/s", "aiokafka_limit", limit.rate),
            Figure("worker_cpu_us_per_event", worker.cpu_us, "us", "stock_faust_agent", stock.cpu_us),
            Figure("bytes_written_per_event", profiles / EVENTS, "bytes"),
            Figure("signal_bytes_written_per_event", signals / EVENTS, "bytes"),
            *_two_beside_one(),
            *written_figures(),
        ],
        "python -m bench.ingest",
    )


def _two_beside_one() -> list[Figure]:
    one, two = (_scaled(count) for count in (1, 2))
    cores = os.cpu_count() or 1
    return [
        Figure("two_workers_events_per_second", two.rate, "1/s", "one_worker", one.rate),
        Figure("two_workers_cores_used", two.cores, "cores", "cores_of_the_machine", cores),
        Figure("one_worker_cores_used", one.cores, "cores", "cores_of_the_machine", cores),
    ]


def _scaled(count: int) -> Taken:
    """Returns what a backlog took of so many workers together."""
    say(f"{count} worker{'s' * (count > 1)} on {SCALED_PARTITIONS} partitions")
    with deployment(partitions=SCALED_PARTITIONS) as running:
        running.send([], interactions(SCALED_EVENTS, USERS, ITEMS, system_clock()), SCALED_EVENTS)
        workers = running.workers(count, commit_interval_s=0.2, session_timeout_s=6)
        running.until(lambda: all(one.counted(APPLIED) for one in workers))
        done = sum(one.counted(APPLIED) for one in workers)
        started, cpu = perf_counter(), sum(cpu_seconds(one.child.pid) for one in workers)
        admin = KafkaAdminClient(**running.settings.kafka_options())
        try:
            running.until(lambda: _committed(admin) == SCALED_EVENTS)
        finally:
            admin.close()
        used = sum(cpu_seconds(one.child.pid) for one in workers) - cpu
        return Taken(SCALED_EVENTS - done, perf_counter() - started, used)


def _round(running: Deployment) -> tuple[Taken, Taken, Taken, float, float]:
    """Returns what the worker, stock Faust and aiokafka took, and the bytes of profiles and signals written."""
    running.send([], interactions(EVENTS, USERS, ITEMS, system_clock()), EVENTS)
    worker, profiles = _worker(running)
    say(f"  worker: {worker.rate:,.0f} events a second")
    stock = _stock(running)
    say(f"  stock Faust: {stock.rate:,.0f}")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        output = runner.run(_read(running.settings.kafka_options(), [USER_PROFILES, ITEM_SIGNALS]))
        limit = runner.run(_limit(running, output))
    say(f"  aiokafka alone: {limit.rate:,.0f}")
    return worker, stock, limit, profiles, sum(len(one.value or b"") for one in output if one.topic == ITEM_SIGNALS)


def _worker(running: Deployment) -> tuple[Taken, float]:
    """Returns what the worker took, and how many bytes of profiles it wrote."""
    worker = running.worker(commit_interval_s=0.2, session_timeout_s=6)
    before = running.until(lambda: worker.counted(APPLIED))
    started, cpu = perf_counter(), cpu_seconds(worker.child.pid)
    admin = KafkaAdminClient(**running.settings.kafka_options())
    try:
        running.until(lambda: _committed(admin) == EVENTS)
    finally:
        admin.close()
    taken = Taken(EVENTS - before, perf_counter() - started, cpu_seconds(worker.child.pid) - cpu)
    if (applied := worker.counted(APPLIED)) != EVENTS:
        raise FreshetError(f"the worker says that it applied {applied:,.0f} of {EVENTS:,} events")
    written = worker.counted("freshet_stream_profile_bytes_total")
    running.stop(worker.child)
    return taken, written


def _committed(admin: Any) -> int:
    offsets = admin.list_group_offsets({"freshet-stream": None})["freshet-stream"]
    return sum(max(0, at.offset) for partition, at in offsets.items() if partition.topic == INTERACTIONS)


def _stock(running: Deployment) -> Taken:
    child = running.peer("stock-faust", running.settings.bootstrap_servers, INTERACTIONS, EVENTS)
    line = running.until(lambda: re.search(r"{.*}", child.log_path.read_text()))
    running.stop(child)
    return Taken(**json.loads(line[0]))


async def _limit(running: Deployment, output: Sequence[Record]) -> Taken:
    options = running.settings.kafka_options()
    admin = AIOKafkaAdminClient(**options)
    await admin.start()
    await admin.create_topics([NewTopic(OUTPUT, 4, 1)])
    await admin.close()
    sent: list[Any] = []
    seen = 0
    consumer = AIOKafkaConsumer(INTERACTIONS, **options, auto_offset_reset="earliest")
    producer = AIOKafkaProducer(**options, acks="all", max_batch_size=262_144, linger_ms=0)
    async with consumer, producer:
        while seen < EVENTS:
            for records in (await consumer.getmany(timeout_ms=1000)).values():
                if not seen:
                    before, started = len(records), perf_counter()
                seen += len(records)
                for one in output[len(sent) : len(output) * seen // EVENTS]:
                    sent.append(await producer.send(OUTPUT, one.value, key=one.key, partition=one.partition))
        await asyncio.gather(*sent)
        return Taken(EVENTS - before, perf_counter() - started, 0.0)


async def _read(options: dict[str, Any], topics: Sequence[str]) -> list[Record]:
    found: list[Record] = []
    consumer = AIOKafkaConsumer(**options, auto_offset_reset="earliest")
    async with consumer:
        partitions = [TopicPartition(topic, number) for topic in topics for number in range(4)]
        consumer.assign(partitions)
        await read_to_end(consumer, partitions, found.extend)
    return found


if __name__ == "__main__":
    main()

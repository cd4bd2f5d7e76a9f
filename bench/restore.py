"""How fast a replica starts from the topics alone, beside merely reading them.

    python -m bench.restore [THOUSANDS]

As many users as items, THOUSANDS of each (20), seven records for each (see bench/snapshot.py). `read` is aiokafka as
it comes, in a process of its own, reading the same topics to their ends and dropping every record; both read from
memory, as the broker has just written them. The start includes decoding, applying, adding up the signals and taking
the vectors into the index, where they are found from then on; a main index for more of them is built behind that, and
waited for before the next round. ROUNDS of both, taking turns; the best of each. On Apache Kafka where KAFKA_HOME
names one, else on the embedded broker.
"""

import asyncio
import sys
from time import perf_counter

from aiokafka import AIOKafkaProducer

from bench.deployment import Deployment, brokers, deployment, say
from bench.made_model import D
from bench.report import Figure, report
from bench.snapshot import records_of
from cli.progress import progress
from domain.settings import KafkaSettings, ServingSettings, load_settings
from domain.topics import TOPICS
from embeddings.faiss_index import FaissIndex
from serving.features import NAMES
from serving.follower import Follower
from serving.read_model import FOLLOWED, ReadModel, summary

PIECE, ROUNDS, PATIENCE_S = 1_000, 2, 300.0


def main() -> None:
    """Measures and reports."""
    thousands = int(sys.argv[1]) if len(sys.argv) > 1 else 20
    broker = brokers()[-1]
    with deployment(broker) as running:
        settings = load_settings(ServingSettings, **running.settings.model_dump(exclude_unset=True))
        say(f"filling the topics of the {broker} broker")
        records = asyncio.run(_filled(settings, 1000 * thousands))
        read_s, start_s = 1e9, 1e9
        for _ in range(ROUNDS):
            read_s = min(read_s, _read(running, records))
            start_s = min(start_s, asyncio.run(_started(settings, 1000 * thousands)))
    report(
        "restore",
        [
            Figure(f"start_from_topics_{thousands}k_users_and_items", start_s, "s", "read", read_s),
            Figure("records_a_second", records / start_s, "1/s", "read", records / read_s),
        ],
        "python -m bench.restore",
    )


async def _filled(settings: KafkaSettings, count: int) -> int:
    model, sent = ReadModel(load_settings(ServingSettings), FaissIndex(D)), 0
    async with AIOKafkaProducer(**settings.kafka_options(), linger_ms=20, max_batch_size=262_144) as producer:
        for start in progress(range(0, count, PIECE), "sending", "thousands", count // PIECE):
            waiting = [
                await producer.send(settings.topic(one.topic), one.value, one.key, one.partition)
                for one in records_of(model, start, start + PIECE, count)
            ]
            await asyncio.gather(*waiting)
            sent += len(waiting)
    return sent


def _read(running: Deployment, expected: int) -> float:
    settings = running.settings
    places = [
        f"{settings.topic(one.name)}/{number}"
        for one in TOPICS
        if one.name in FOLLOWED
        for number in range(one.partitions or settings.partitions)
    ]
    told = running.told(running.peer("read", *places), PATIENCE_S)
    if told["records"] != expected:
        raise SystemExit(f"read {told['records']:.0f} of {expected} records")
    return told["seconds"]


async def _started(settings: ServingSettings, count: int) -> float:
    model = ReadModel(settings, FaissIndex(D, settings.exact_index_below), features=NAMES)
    follower, began = Follower(settings, model), perf_counter()
    await follower.start()
    await follower.ready.wait()
    took = perf_counter() - began
    await follower.stop()
    await asyncio.to_thread(model.catalogue.index.wait)  # or it is built while others are measured
    if summary(model) != {"items": count, "vectors": count, "profiles": count}:
        raise SystemExit(f"it holds {summary(model)}")
    return took


if __name__ == "__main__":
    main()

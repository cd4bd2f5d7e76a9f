"""Milliseconds from a click to the slate that reflects it, beside two bare hops through the same broker.

    python -m bench.freshness [EVENTS A SECOND] [THOUSANDS OF ITEMS]

A catalogue of 100,000 items; 500 other users send 1,000 events a second (200 on the embedded broker, whose own
cost grows with every batch), which their Emitter gathers for 20 ms and which gives way as a worker does; and
300 clicks of four users, one at a time with short random pauses, whose Emitter gathers nothing. A click is timed
from `Emitter.emit` to the answer over HTTP that reflects it: it counts one interaction more and no longer holds
the clicked item. Every other one is asked for with `after=` its token (`read_your_writes`) and must say that it is
fresh. For the rest the slate is asked for again and again, without a pause, until it reflects the click
(`click_to_slate`): as soon as somebody without a token can have it.

After each click come two bare hops: the Emitter's own producer sends as many bytes, a plain aiokafka consumer in
another process answers each with as many bytes as a profile has, and an aiokafka consumer here waits for them.
Nothing that goes through Kafka twice can be faster.

Where the time goes is read from the log afterwards (`bench/stages.py`). The items' vectors are made up and written to
`item-embeddings` by the bench, so that the encoder has nothing to do: 100,000 texts would take it minutes.

On the embedded broker, and where KAFKA_HOME names one on Apache Kafka as well (names ending in _apache).
"""

import asyncio
import queue
import random
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter, sleep

from aiokafka import AIOKafkaConsumer
from kafka.admin import KafkaAdminClient

from bench.deployment import FETCH_MAX_WAIT_MS, Broker, Deployment, brokers, deployment, say
from bench.made_model import vectors
from bench.report import Figure, percentile, report
from bench.stages import Click, stages
from bench.workload import interactions, items
from cli.progress import progress
from domain.clock import system_clock
from domain.codecs import pack
from domain.errors import FreshetError
from domain.interactions import Interaction
from domain.items import Item
from domain.topics import ITEM_EMBEDDINGS
from embeddings.item_embedding import from_vector
from embeddings.transformer import TransformerEncoder
from freshet import Client, Emitter
from freshet.producer import Producer

CLICKS, READERS = 300, 4
RATES: dict[Broker, int] = {"embedded": 200, "apache": 1_000}
THOUSANDS = 100
"""Other events a second, and items, unless the command says otherwise."""

FLOW_S = 150
"""The flow of other events ends with the clicks, and after this by itself."""

USERS, EVENTS, PAST = 500, 10_000, 80
WARM_UP = 2_000
"""Events of the background before the first click."""

PAUSE_S = (0.01, 0.05)
SETTLING_S = 2.0
"""Until the worker has written what came of the last click, which no slate waits for."""

WAIT_MS = 10_000
"""A click that takes longer is an error; one that takes long is counted as what it took."""

OUT, BACK = "hop-out", "hop-back"
EVENT_BYTES, PROFILE_BYTES = 150, 2_400
"""What a click has, and the profile of a reader with the sixty interactions that they have on average."""

APPLIED = "freshet_stream_interactions_total"
PERCENTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


class Readers:
    """Users who click on what they are shown."""

    def __init__(self, emitter: Emitter, client: Client, chance: random.Random) -> None:
        self._emitter = emitter
        self._client = client
        self._chance = chance
        self._shown = {f"reader-{at}": client.recommend(f"reader-{at}") for at in range(READERS)}

    def click(self, number: int, with_token: bool) -> Click:
        """Clicks once and waits for the slate that reflects it."""
        user = self._chance.choice(sorted(self._shown))
        before = self._shown[user]
        item = self._chance.choice(before.items).item_id
        event = Interaction(
            event_id=f"bench-{number}", type="click", user_id=user, item_id=item, event_time=system_clock()
        )
        started = perf_counter()
        delivery = self._emitter.emit(event)
        position = delivery.position()
        known, known_ms = perf_counter(), system_clock()
        token = delivery.token() if with_token else None
        slate = self._client.recommend(user, explain=False, after=token, wait_ms=WAIT_MS)
        while not with_token and slate.profile.interactions == before.profile.interactions:
            if perf_counter() - started > WAIT_MS / 1000:
                raise FreshetError(f"click {number} is in no slate after {WAIT_MS} ms: too many events a second?")
            slate = self._client.recommend(user, explain=False)
        ended = perf_counter()
        counted = slate.profile.interactions == before.profile.interactions + 1
        if not (slate.fresh and counted and item not in [one.item_id for one in slate.items]):
            raise FreshetError(f"click {number} of {user} on {item} is not in the slate asked for after it: {slate}")
        self._shown[user] = slate
        return Click(user, item, position, with_token, (known - started) * 1000, (ended - known) * 1000, known_ms)


class Hops:
    """A bare event and its answer: to another process through Kafka and back."""

    def __init__(self, producer: Producer, arrived: "queue.Queue[float]") -> None:
        self._producer = producer
        self._arrived = arrived

    def hop(self) -> float:
        """Goes there and back once; returns the milliseconds."""
        started = perf_counter()
        self._producer.send(OUT, "reader-0", bytes(EVENT_BYTES))
        return (self._arrived.get(timeout=10) - started) * 1000


def main() -> None:
    """Measures and reports."""
    rate = int(sys.argv[1]) if len(sys.argv) > 1 else None
    thousands = int(sys.argv[2]) if len(sys.argv) > 2 else THOUSANDS
    figures = []
    for broker in brokers():
        say(f"starting everything on the {broker} broker")
        with deployment(broker) as running:
            catalogue = items(thousands * 1000, system_clock())
            figures += _measure(
                running, broker, catalogue, rate or RATES[broker], "" if broker == "embedded" else f"_{broker}"
            )
    report("freshness", figures, " ".join(["python -m bench.freshness", *sys.argv[1:]]))


def _measure(running: Deployment, broker: Broker, catalogue: list[Item], rate: int, suffix: str) -> list[Figure]:
    now, count = system_clock(), len(catalogue)
    _write_vectors(running, catalogue)
    worker, replica = running.worker(session_timeout_s=6), running.replica(max_wait_ms=WAIT_MS)
    running.send(catalogue, interactions(EVENTS, USERS, count, now), EVENTS)
    running.send([], interactions(PAST, READERS, count, now, "reader"), PAST)
    running.until(lambda: worker.counted(APPLIED) == EVENTS + PAST)
    running.until(lambda: replica.holds(items=count, vectors=count, profiles=USERS + READERS))
    running.peer("flow", rate, FLOW_S, count)
    running.until(lambda: worker.counted(APPLIED) >= EVENTS + PAST + WARM_UP)
    chance = random.Random(42)
    clicks, hops = [], []
    with (
        Emitter(running.settings, linger_ms=0) as emitter,
        Client(replica.url) as client,
        _hops(running, broker) as bare,
    ):
        readers = Readers(emitter, client, chance)
        before, began = worker.counted(APPLIED), perf_counter()
        for number in progress(range(CLICKS), "clicking", "clicks", CLICKS):
            clicks.append(readers.click(number, bool(number % 2)))
            sleep(chance.uniform(*PAUSE_S))
            hops.append(bare.hop())
            sleep(chance.uniform(*PAUSE_S))
        flowed = (worker.counted(APPLIED) - before) / (perf_counter() - began)
    sleep(SETTLING_S)
    return [
        *_beside_hops("click_to_slate", [one.took_ms for one in clicks if not one.with_token], hops, suffix),
        *_beside_hops("read_your_writes", [one.took_ms for one in clicks if one.with_token], hops, suffix),
        *stages(running.settings, clicks, suffix),
        Figure(f"events_flowing_meanwhile{suffix}", flowed, "1/s", "asked_for", rate),
    ]


def _beside_hops(name: str, took_ms: list[float], hops: list[float], suffix: str) -> list[Figure]:
    return [
        Figure(
            f"{name}_{which}{suffix}",
            percentile(took_ms, share),
            "ms",
            f"two_hops_{which}{suffix}",
            percentile(hops, share),
        )
        for which, share in PERCENTILES.items()
    ]


def _write_vectors(running: Deployment, catalogue: list[Item]) -> None:
    """Writes a made-up vector for each item, as if the worker had encoded its text."""
    encoder = TransformerEncoder(threads=1)
    producer = Producer(running.settings, 20, None)
    topic = running.settings.topic(ITEM_EMBEDDINGS)
    pairs = zip(catalogue, vectors(len(catalogue)), strict=True)
    for item, vector in progress(pairs, "writing", "vectors", len(catalogue)):
        producer.send(topic, item.item_id, pack(from_vector(encoder.version, item.text(), vector)))
    producer.close(60.0)


@contextmanager
def _hops(running: Deployment, broker: Broker) -> Iterator[Hops]:
    admin = KafkaAdminClient(**running.settings.kafka_options())
    try:
        admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1} for name in (OUT, BACK)})
        admin.wait_for_topics([OUT, BACK])
    finally:
        admin.close()
    servers, wait_ms = running.settings.bootstrap_servers, FETCH_MAX_WAIT_MS[broker]
    relay = running.peer("relay", servers, OUT, BACK, PROFILE_BYTES, wait_ms)
    running.until(lambda: "ready" in relay.log_path.read_text())
    arrived: queue.Queue[float] = queue.Queue()
    loop = asyncio.new_event_loop()
    listening = loop.create_task(_listen(servers, wait_ms, arrived))
    thread = threading.Thread(target=_run, args=(loop, listening), daemon=True)
    thread.start()
    producer = Producer(running.settings, 0, None)
    try:
        arrived.get(timeout=30)  # it listens
        yield Hops(producer, arrived)
    finally:
        loop.call_soon_threadsafe(listening.cancel)
        thread.join(10)
        producer.close(1.0)


async def _listen(servers: str, fetch_max_wait_ms: int, arrived: "queue.Queue[float]") -> None:
    consumer = AIOKafkaConsumer(
        BACK, bootstrap_servers=servers, auto_offset_reset="earliest", fetch_max_wait_ms=fetch_max_wait_ms
    )
    async with consumer:
        arrived.put(0.0)
        async for _ in consumer:
            arrived.put(perf_counter())


def _run(loop: asyncio.AbstractEventLoop, task: "asyncio.Task[None]") -> None:
    with suppress(asyncio.CancelledError):
        loop.run_until_complete(task)
    loop.close()


if __name__ == "__main__":
    main()

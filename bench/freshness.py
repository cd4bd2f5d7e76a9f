"""Milliseconds from a click to the slate that reflects it, beside two bare hops through the same broker.

    python -m bench.freshness

300 clicks of four users, one at a time with short random pauses, while 500 other users send events (200 a
second on Apache Kafka, 20 on the embedded broker). A click is timed from `Emitter.emit` to the answer of
`Client.recommend(after=its token)`, which must say that it is fresh, count one interaction more and no
longer hold the clicked item. After each click come two bare hops: the Emitter's own producer sends as many
bytes, a plain aiokafka consumer in another process answers each with as many bytes as a profile has, and an
aiokafka consumer here waits for them.
Nothing that goes through Kafka twice can be faster.

On the embedded broker, and where KAFKA_HOME names one on Apache Kafka as well (names ending in _apache).
"""

import asyncio
import queue
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter, sleep

from aiokafka import AIOKafkaConsumer
from kafka.admin import KafkaAdminClient

from bench.deployment import FETCH_MAX_WAIT_MS, Broker, Deployment, brokers, deployment, say
from bench.report import Figure, percentile, report
from bench.workload import interactions, items
from cli.progress import progress
from domain.clock import system_clock
from domain.errors import FreshetError
from domain.interactions import Interaction
from freshet import Client, Emitter
from freshet.producer import Producer

CLICKS, READERS = 300, 4
RATE = {"embedded": 20, "apache": 200}
"""Other events a second. The embedded broker takes longer for each request the more batches a partition has
(at 200 events a second its share of a core grew from 0.45 to 1.1 within 12,000 events, while worker and
replica stayed below 0.5 together), so a larger flow there would measure nothing but that.
"""

FLOW_S = 120
"""The flow of other events ends with the clicks, and after this by itself."""

ITEMS, USERS, EVENTS, PAST = 2_000, 500, 10_000, 80
WARM_UP = 100
"""Events of the background before the first click."""

PAUSE_S = (0.01, 0.05)
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

    def click(self, number: int) -> tuple[float, float]:
        """Clicks once; returns the milliseconds until Kafka had it and until the slate reflected it."""
        user = self._chance.choice(sorted(self._shown))
        before = self._shown[user]
        item = self._chance.choice(before.items).item_id
        event = Interaction(
            event_id=f"bench-{number}", type="click", user_id=user, item_id=item, event_time=system_clock()
        )
        started = perf_counter()
        token = self._emitter.emit(event).token()
        acknowledged = perf_counter()
        slate = self._client.recommend(user, explain=False, after=token, wait_ms=WAIT_MS)
        ended = perf_counter()
        counted = slate.profile.interactions == before.profile.interactions + 1
        if not (slate.fresh and counted and item not in [one.item_id for one in slate.items]):
            raise FreshetError(f"click {number} of {user} on {item} is not in the slate asked for after it: {slate}")
        self._shown[user] = slate
        return (acknowledged - started) * 1000, (ended - started) * 1000


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
    figures = []
    for broker in brokers():
        say(f"starting everything on the {broker} broker")
        with deployment(broker) as running:
            figures += _measure(running, broker, "" if broker == "embedded" else f"_{broker}")
    report("freshness", figures, "python -m bench.freshness")


def _measure(running: Deployment, broker: Broker, suffix: str) -> list[Figure]:
    now = system_clock()
    worker, replica = running.worker(session_timeout_s=6), running.replica(max_wait_ms=WAIT_MS)
    running.send(items(ITEMS, now), interactions(EVENTS, USERS, ITEMS, now), EVENTS)
    running.send([], interactions(PAST, READERS, ITEMS, now, "reader"), PAST)
    running.until(lambda: worker.counted(APPLIED) == EVENTS + PAST)
    running.until(lambda: replica.holds(items=ITEMS, vectors=ITEMS, profiles=USERS + READERS))
    running.peer("flow", RATE[broker], FLOW_S, ITEMS)
    running.until(lambda: worker.counted(APPLIED) >= EVENTS + PAST + WARM_UP)
    chance = random.Random(42)
    clicks, hops = [], []
    with (
        Emitter(running.settings, linger_ms=0) as emitter,
        Client(replica.url) as client,
        _hops(running, broker) as bare,
    ):
        readers = Readers(emitter, client, chance)
        say(f"  {CLICKS} clicks, {RATE[broker]} other events a second")
        for number in progress(range(CLICKS), "clicking", "clicks", CLICKS):
            clicks.append(readers.click(number))
            sleep(chance.uniform(*PAUSE_S))
            hops.append(bare.hop())
            sleep(chance.uniform(*PAUSE_S))
    figures = [
        Figure(
            f"click_to_slate_{name}{suffix}",
            percentile([one[1] for one in clicks], share),
            "ms",
            f"two_hops_{name}{suffix}",
            percentile(hops, share),
        )
        for name, share in PERCENTILES.items()
    ]
    return [
        *figures,
        Figure(f"of_it_until_kafka_has_it_p50{suffix}", percentile([one[0] for one in clicks], 0.5), "ms"),
    ]


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

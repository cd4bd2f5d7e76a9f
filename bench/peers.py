"""Programs that the benches start beside Freshet: what its figures are compared with, and the flow of events.

    python -m bench.peers NAME ARGUMENTS

Each imports only what it runs, so that none is slowed by what another needs.
"""
# ruff: noqa: PLC0415

import json
import sys
import time

from domain.clock import system_clock


def stock_faust(bootstrap_servers: str, topic: str, events: str) -> None:
    """Faust as it comes, on uvloop: one agent that counts. Prints what the events after the first took."""
    import faust
    import mode.loop

    from bench.deployment import cpu_seconds

    mode.loop.use("uvloop")
    app = faust.App(
        "stock-faust",
        broker=f"kafka://{bootstrap_servers}",
        store="memory://",
        web_enabled=False,
        topic_disable_leader=True,
        broker_session_timeout=6,  # the embedded broker holds a new group back for half of it
        broker_heartbeat_interval=2,
    )
    seen, started, cpu = 0, 0.0, 0.0

    @app.agent(app.topic(topic, value_type=bytes, value_serializer="raw"))
    async def count(stream: faust.StreamT[bytes]) -> None:
        nonlocal seen, started, cpu
        async for _ in stream:
            seen += 1
            if seen == 1:
                started, cpu = time.perf_counter(), cpu_seconds("self")
            elif seen == int(events):
                took, used = time.perf_counter() - started, cpu_seconds("self") - cpu
                print(json.dumps({"events": seen - 1, "seconds": took, "cpu_seconds": used}), flush=True)

    faust.Worker(app, loglevel="WARNING", quiet=True, redirect_stdouts=False).execute_from_commandline()


def relay(bootstrap_servers: str, source: str, target: str, size: str, fetch_max_wait_ms: str) -> None:
    """The floor under the event path: a plain consumer that sends a record of `size` bytes for each it gets."""
    import uvloop
    from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

    async def run() -> None:
        consumer = AIOKafkaConsumer(
            source,
            bootstrap_servers=bootstrap_servers,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=int(fetch_max_wait_ms),
        )
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap_servers, acks="all", linger_ms=0)
        async with consumer, producer:
            print(json.dumps({"ready": True}), flush=True)
            async for record in consumer:
                await producer.send(target, bytes(int(size)), key=record.key)

    uvloop.run(run())


def flow(rate: str, seconds: str, items: str) -> None:
    """Other people's clicks: `rate` events a second from 500 users, for `seconds` at most, gathered for 20 ms.

    It gives way as a worker does: elsewhere it is other machines that send them.
    """
    from bench.workload import interactions
    from domain.settings import StreamSettings, load_settings
    from freshet import Emitter
    from stream.priority import give_way

    give_way(load_settings(StreamSettings).worker_nice)
    events = int(rate) * int(seconds)
    with Emitter(linger_ms=20) as emitter:
        started = time.perf_counter()
        for at, one in enumerate(interactions(events, 500, int(items), system_clock(), "flow")):
            time.sleep(max(0.0, started + at / int(rate) - time.perf_counter()))
            emitter.emit(one)


def steady(rate: str, seconds: str, items: str, users: str) -> None:
    """Clicks of the present by users user-0, user-1 ..., `rate` a second, for `seconds` at most."""
    import msgspec

    from bench.workload import interactions
    from freshet import Emitter

    events = int(rate) * int(seconds)
    with Emitter() as emitter:
        started = time.perf_counter()
        for at, one in enumerate(interactions(events, int(users), int(items), system_clock(), "user", seed=43)):
            time.sleep(max(0.0, started + at / int(rate) - time.perf_counter()))
            emitter.emit(msgspec.structs.replace(one, event_time=system_clock()))


def constant(port: str, server: str, *sizes: str) -> None:
    """A FastAPI route /N that returns N bytes, for each size, on uvicorn set up as a replica's is, or on granian."""
    import asyncio

    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import Response

    app = FastAPI()
    bodies = {int(size): b"x" * int(size) for size in sizes}

    @app.get("/{size}", response_model=None)
    async def body(size: int) -> Response:
        return Response(bodies[size], media_type="application/json")

    if server == "granian":
        from granian.constants import Interfaces
        from granian.server.embed import Server

        asyncio.run(Server(app, address="127.0.0.1", port=int(port), interface=Interfaces.ASGI).serve())
        return
    uvicorn.run(
        app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", log_config=None, access_log=False
    )


def load(url: str, connections: str, seconds: str, users: str, rate: str) -> None:
    """Asks a URL, its {} filled with a user's number, over keep-alive connections; prints rate and milliseconds.

    With a rate above 0 each connection keeps to its share of it, timed from when a request was due, so that a
    slow answer counts for those that had to wait behind it.
    """
    import asyncio
    import random
    from urllib.parse import urlsplit

    import uvloop

    from bench.report import percentile

    place = urlsplit(url)
    took: list[float] = []

    async def connection(number: int, ends: float) -> None:
        chance = random.Random(number)
        reader, writer = await asyncio.open_connection(place.hostname, place.port)
        pause = int(connections) / float(rate) if float(rate) else 0.0
        due = time.perf_counter() + chance.random() * pause
        while time.perf_counter() < ends:
            if pause:
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            started, due = due if pause else time.perf_counter(), due + pause
            path = url.split(place.netloc, 1)[1].format(chance.randrange(int(users)))
            writer.write(f"GET {path} HTTP/1.1\r\nHost: {place.netloc}\r\n\r\n".encode())
            head = await reader.readuntil(b"\r\n\r\n")
            if b" 200 " not in head[:20]:
                raise RuntimeError(head.decode())
            await reader.readexactly(int(head.lower().split(b"content-length: ")[1].split(b"\r")[0]))
            took.append((time.perf_counter() - started) * 1000)
        writer.close()

    async def run() -> None:
        ends = time.perf_counter() + float(seconds)
        await asyncio.gather(*[connection(one, ends) for one in range(int(connections))])

    uvloop.run(run())
    told = {"rate": len(took) / float(seconds), "p50": percentile(took, 0.5), "p99": percentile(took, 0.99)}
    print(json.dumps(told), flush=True)


def read(*partitions: str) -> None:
    """Aiokafka as it comes: reads partitions, TOPIC/NUMBER, to their ends. Prints how many records and the seconds."""
    import asyncio

    from aiokafka import AIOKafkaConsumer, TopicPartition

    from domain.log_reader import read_to_end, reader_options
    from domain.settings import KafkaSettings, load_settings

    seen = 0

    def drop(records: object) -> None:
        nonlocal seen
        seen += len(records)  # type: ignore[arg-type]

    async def run() -> float:
        named = [one.rpartition("/") for one in partitions]
        places = [TopicPartition(topic, int(number)) for topic, _, number in named]
        async with AIOKafkaConsumer(**reader_options(load_settings(KafkaSettings))) as consumer:
            consumer.assign(places)
            started = time.perf_counter()
            await read_to_end(consumer, places, drop)
            return time.perf_counter() - started

    seconds = asyncio.run(run())
    print(json.dumps({"records": seen, "seconds": seconds}), flush=True)


PEERS = {
    "stock-faust": stock_faust,
    "relay": relay,
    "flow": flow,
    "steady": steady,
    "constant": constant,
    "load": load,
    "read": read,
}

if __name__ == "__main__":
    sys.argv, (name, *arguments) = sys.argv[:1], sys.argv[1:]
    PEERS[name](*arguments)

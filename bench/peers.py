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
    """Other people's clicks: `rate` events a second from 500 users, for `seconds` at most."""
    from bench.workload import interactions
    from freshet import Emitter

    events = int(rate) * int(seconds)
    with Emitter() as emitter:
        started = time.perf_counter()
        for at, one in enumerate(interactions(events, 500, int(items), system_clock(), "flow")):
            time.sleep(max(0.0, started + at / int(rate) - time.perf_counter()))
            emitter.emit(one)


def constant(port: str, *sizes: str) -> None:
    """A FastAPI route /N that returns N bytes, for each of the sizes, on uvicorn set up as a replica's is."""
    import uvicorn
    from fastapi import FastAPI
    from fastapi.responses import Response

    app = FastAPI()
    bodies = {int(size): b"x" * int(size) for size in sizes}

    @app.get("/{size}", response_model=None)
    async def body(size: int) -> Response:
        return Response(bodies[size], media_type="application/json")

    uvicorn.run(
        app, host="127.0.0.1", port=int(port), loop="uvloop", http="httptools", log_config=None, access_log=False
    )


PEERS = {"stock-faust": stock_faust, "relay": relay, "flow": flow, "constant": constant}

if __name__ == "__main__":
    sys.argv, (name, *arguments) = sys.argv[:1], sys.argv[1:]
    PEERS[name](*arguments)

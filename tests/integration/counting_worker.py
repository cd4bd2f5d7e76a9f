"""A worker on our Faust consumer whose agent writes down each record it handled, and can be told to fail.

usage: python -m tests.integration.counting_worker SEEN_FILE [FAIL_AT_OFFSET]
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

import faust

from domain.log_reader import Record
from domain.settings import StreamSettings, load_settings
from domain.topics import INTERACTIONS
from stream.agents import consume
from stream.batching import BatchApp
from stream.membership import Membership
from stream.outbox import Outbox
from stream.watchdog import Steps, Watchdog


def main() -> None:
    seen, fail_at = Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else -1
    settings = load_settings(StreamSettings)
    app = BatchApp(
        settings.topic("counting"),
        broker=f"kafka://{settings.bootstrap_servers}",
        broker_commit_interval=0.2,
        broker_session_timeout=6,
        broker_heartbeat_interval=1,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        store="memory://",
        datadir=str(seen.parent / "faust"),
    )
    app.fetch_max_wait_ms = settings.fetch_max_wait_ms
    app.watchdog = Watchdog(settings, Steps(), app.assigned)
    app.outbox = Outbox(settings.kafka_options(), Membership(6))

    async def handle(partition: int, records: Sequence[Record]) -> None:
        offsets = [record.offset for record in records]
        if fail_at in offsets:
            raise RuntimeError(f"told to fail at {fail_at}")
        await asyncio.sleep(0.01)
        with seen.open("a") as file:
            file.writelines(f"{partition} {offset}\n" for offset in offsets)

    @app.agent(app.batch_topic(settings.topic(INTERACTIONS)), concurrency=1)
    async def agent(stream) -> None:
        await consume("counting", stream, handle, app.lag.handled)

    faust.Worker(app, loglevel="WARNING", redirect_stdouts=False, quiet=True).execute_from_commandline()


if __name__ == "__main__":
    main()

"""`freshet demo`: the whole of Freshet on this machine, with a real history replayed through it."""

import os
import re
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

import typer
import urllib3
from tqdm import tqdm

from cli import data, importing
from cli.broker import HOST, EmbeddedBroker, free_port, is_taken
from cli.children import Child, freshet_command
from cli.demo_tour import show_slates, time_clicks
from domain.errors import FreshetError
from domain.settings import KafkaSettings, load_settings
from stream.topic_admin import create_topics

EXIT_VARIABLE = "FRESHET_DEMO_EXIT_WHEN_READY"
USUAL_PORT = 8080
PATIENCE_S = 900
"""The replay takes a minute; on a machine that is busy with other things, several."""

ANSWER_S = 5.0
"""A process that takes longer to answer is asked again."""

_LEARNED = re.compile(r"^freshet_stream_interactions_total\{.*\} (\S+)$", re.MULTILINE)


def demo(
    folder: Annotated[
        Path, typer.Option(help="Data set to replay (items.jsonl, interactions.jsonl); MovieLens 100k if missing.")
    ] = Path("data/movielens-100k"),
    port: Annotated[int, typer.Option(help="Port of the page; 0 takes 8080, or a free one if that is taken.")] = 0,
) -> None:
    """Start everything on this machine and replay a real history: broker, worker, replica, page.

    The embedded broker keeps all in memory; Ctrl-C ends everything. With FRESHET_DEMO_EXIT_WHEN_READY=1 it
    shows a few slates, times clicks and ends by itself.
    """
    folder = folder.resolve()
    if not (folder / "interactions.jsonl").exists():
        data.movielens_100k(folder)
    with ExitStack() as stack:
        running = Demo(stack, port)
        running.replay(folder)
        pages = f"{running.page}/ui    live: {running.page}/ui/live    API: {running.page}/docs"
        typer.echo(f"\nReady: {pages}    logs: {running.logs}\n")
        show_slates(running.page, folder)
        time_clicks(running.page)
        if os.environ.get(EXIT_VARIABLE) != "1":
            typer.echo(f"\nOpen {running.page}/ui    Ctrl-C ends everything.")
            running.watch()


class Demo:
    """A broker, a worker and a replica that end with the stack they were started on."""

    def __init__(self, stack: ExitStack, port: int) -> None:
        """Starts them; the replica's page is at `page`, what they print in `logs`."""
        broker = stack.enter_context(EmbeddedBroker())
        port = port or (free_port() if is_taken(USUAL_PORT) else USUAL_PORT)
        metrics_port = free_port()
        self.page = f"http://{HOST}:{port}"
        self.logs = Path(tempfile.mkdtemp(prefix="freshet-demo-"))
        self._worker_metrics = f"http://{HOST}:{metrics_port}/metrics"
        os.environ |= {
            "FRESHET_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            "FRESHET_PARTITIONS": "4",
            "FRESHET_FETCH_MAX_WAIT_MS": "5",  # the embedded broker looks for data again after half of it
            "FRESHET_PROFILE_SIZE": "1000",  # the longest history in MovieLens 100k has 737 interactions
            "FRESHET_HOST": HOST,
            "FRESHET_PORT": str(port),
            "FRESHET_WORKER_METRICS_PORT": str(metrics_port),
        }
        create_topics(load_settings(KafkaSettings))
        self._children = [
            stack.enter_context(Child(name, freshet_command(name), self.logs / f"{name}.log"))
            for name in ("stream", "serve")
        ]

    def replay(self, folder: Path) -> None:
        """Sends a data set through the broker and returns when the replica has learned all of it."""
        sent = importing.load(str(folder), shift_to_now=True)  # else every click would lie decades after the rest
        self._await(sent["interactions"], "learning", "interactions", self._learned)
        self._await(sent["items"], "embedding", "items", lambda: self._ready()["holds"]["vectors"])
        self._until(lambda: self._ready()["lag_records"] == 0)

    def watch(self) -> None:
        """Returns never; raises ChildEnded if a process ends by itself."""
        while True:
            time.sleep(0.5)
            for child in self._children:
                child.check()

    def _await(self, total: int, doing: str, unit: str, count: Callable[[], int]) -> None:
        with tqdm(total=total, desc=doing, unit=f" {unit}", disable=None, leave=False) as bar:

            def done() -> bool:
                counted = count()
                bar.update(min(counted, total) - bar.n)
                return counted >= total

            self._until(done)

    def _until(self, done: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            for child in self._children:
                child.check()
            try:
                if done():
                    return
            except urllib3.exceptions.HTTPError:
                pass  # still starting
            time.sleep(0.1)
        raise FreshetError(f"the demo was not ready after {PATIENCE_S} s; see {self.logs}")

    def _learned(self) -> int:
        told = urllib3.request("GET", self._worker_metrics, timeout=ANSWER_S, retries=False).data.decode()
        return int(sum(float(count) for count in _LEARNED.findall(told)))

    def _ready(self) -> dict[str, Any]:
        url = f"{self.page}/health/ready"
        told: dict[str, Any] = urllib3.request("GET", url, timeout=ANSWER_S, retries=False).json()
        return told

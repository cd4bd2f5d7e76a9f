"""What the demo shows when it is ready: a few slates beside the histories they come from, and timed clicks."""

import statistics
import time
from pathlib import Path

import typer

from cli.datasets import read_interactions
from domain.clock import system_clock
from domain.interactions import Interaction
from freshet import Client

SHOWN_USERS = 3
SHOWN = 5
CLICKS = 50


def show_slates(page: str, folder: Path) -> None:
    """Prints the newest interactions of a few users beside what is recommended to them."""
    with Client(page) as client:
        for user_id in _some_users(folder):
            history = client.profile(user_id).history[:SHOWN]
            slate = client.recommend(user_id, count=SHOWN)
            typer.echo(f"User {user_id}, {slate.profile.interactions} interactions")
            for entry in history:
                value = "" if entry.value is None else f" {entry.value:g}"
                typer.echo(f"   {entry.type}{value:3} {entry.title}")
            for item in slate.items:
                typer.echo(f"   → {item.title}: {'; '.join(item.reasons)}")
            typer.echo("")
        stranger = client.recommend("somebody-new", count=SHOWN)
        typer.echo(f"Somebody unknown (fallback: {stranger.fallback})")
        for item in stranger.items:
            typer.echo(f"   → {item.title}: {'; '.join(item.reasons)}")


def time_clicks(page: str) -> None:
    """Clicks through the API as a browser would and prints how long a click takes to change the slate."""
    with Client(page) as client:
        user_id = f"guest-{system_clock()}"
        item_id = client.trending(1)[0].item_id
        times_ms: list[float] = []
        for number in range(CLICKS):
            started = time.perf_counter()
            event = Interaction(
                event_id=f"{user_id}-{number}",
                type="click",
                user_id=user_id,
                item_id=item_id,
                event_time=system_clock(),
            )
            result = client.send_events([event])[0]
            slate = client.recommend(user_id, after=result.token)
            times_ms.append((time.perf_counter() - started) * 1000)
            if not slate.fresh or not slate.items:
                raise typer.Exit(1)
            item_id = slate.items[0].item_id
        times_ms.sort()
        typer.echo(
            f"\nClick to changed slate, {CLICKS} clicks over HTTP: median {statistics.median(times_ms):.1f} ms,"
            f" 95th percentile {times_ms[int(CLICKS * 0.95)]:.1f} ms"
        )


def _some_users(folder: Path) -> list[str]:
    """Returns the users of the data set's last interactions, each once."""
    newest: dict[str, None] = {}
    for _, record in read_interactions(folder / "interactions.jsonl"):
        if isinstance(record, Interaction):
            newest.pop(record.user_id, None)
            newest[record.user_id] = None
    return list(newest)[-SHOWN_USERS:]

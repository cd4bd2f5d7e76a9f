"""Visitors of a running replica: they ask for slates and click, at a pace, so that a page has something to show.

Their clicks go over HTTP, so what a page then says of freshness, latency and quality was measured on the whole path.
"""

import random
import threading
import time
from uuid import uuid4

import httpx


class Visitors:
    """A thread of its own that ends with the block, or after `seconds`."""

    def __init__(self, url: str, per_second: float, seconds: float = 600, users: list[str] | None = None) -> None:
        self._http = httpx.Client(base_url=url, timeout=10)
        self._users = users or self._http.get("/v1/users").json()["users"]
        self._pause_s = 1 / per_second
        self._ends = time.monotonic() + seconds
        self._thread = threading.Thread(target=self._visit, daemon=True)
        self.clicks = 0

    def __enter__(self) -> "Visitors":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = 0
        self._thread.join(20)

    def _visit(self) -> None:
        chance = random.Random(7)
        due = time.monotonic()
        while time.monotonic() < self._ends:
            self._click(chance.choice(self._users), chance)
            due += chance.expovariate(1) * self._pause_s
            time.sleep(max(0.0, due - time.monotonic()))

    def _click(self, user: str, chance: random.Random) -> None:
        shown = self._http.get(f"/v1/users/{user}/recommendations").json()["items"]
        if chance.random() < 0.6:  # people find things elsewhere too
            shown = self._http.get("/v1/items/trending", params={"count": 150}).json()["items"]
            chance.shuffle(shown)
        item = shown[min(int(chance.expovariate(0.5)), len(shown) - 1)]["item_id"]
        kind = chance.choices(["click", "view", "like", "hide"], [6, 3, 2, 1])[0]
        event = {"event_id": str(uuid4()), "type": kind, "user_id": user, "item_id": item}
        self._http.post("/v1/events", json=[event | {"event_time": int(time.time() * 1000)}]).raise_for_status()
        self.clicks += 1

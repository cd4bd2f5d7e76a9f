"""Takes the pictures in docs/: starts what `freshet demo` starts, lets visitors click, and photographs both pages.

    python -m tests.screenshots [FOLDER]

What the pictures show was measured while they were taken. The MovieLens history is fetched if it is not there. The
pages are set in Inter where it is installed (Debian's fonts-inter, as for the pictures), else in the system's own font.
"""

import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from kafka import KafkaProducer
from playwright.sync_api import Browser, Page

from cli import data
from cli.demo import Demo
from domain.settings import KafkaSettings, load_settings
from domain.topics import INTERACTIONS
from tests.browser import chromium, page_of
from tests.visitors import Visitors

DOCS = Path(__file__).parents[1] / "docs"
HISTORY = Path("data/movielens-100k").resolve()
USER = "683"
DESK, TELEPHONE = {"width": 1280, "height": 1000}, {"width": 390, "height": 844}
A_MINUTE_S = 62
"""The live page's lines are a minute long."""


def main(folder: Path) -> None:
    """Takes all of them."""
    if not (HISTORY / "interactions.jsonl").exists():
        data.movielens_100k(HISTORY)
    os.environ["FRESHET_LIVE_METER_SHARE"] = "1"  # a minute of a few visitors is little to judge by
    with ExitStack() as stack:
        running = Demo(stack, 0)
        running.replay(HISTORY)
        browser = stack.enter_context(chromium())
        playground(browser, running.page, folder)
        with Visitors(running.page, per_second=6):
            live(browser, running.page, folder)


def playground(browser: Browser, url: str, folder: Path) -> None:
    """A few clicks; then the same user's slate beside another; then a guest on a telephone."""
    with page_of(browser, viewport=DESK) as page:
        page.goto(f"{url}/ui#{USER}")
        for at in (2, 1, 3, 2, 4):
            _press(page, at, "click")
        _taken(page, folder / "playground.png")
        page.click("#compare")
        page.wait_for_selector("#two .slate li")
        _taken(page, folder / "playground-compared.png")
    with page_of(browser, viewport=TELEPHONE, color_scheme="dark") as page:
        page.goto(f"{url}/ui#guest-7")
        _press(page, 3, "like")
        _taken(page, folder / "playground-telephone.png")


def live(browser: Browser, url: str, folder: Path) -> None:
    """A minute of visitors, and one record that cannot be used."""
    settings = load_settings(KafkaSettings)
    with page_of(browser, viewport=DESK) as page:
        page.goto(f"{url}/ui/live")
        time.sleep(A_MINUTE_S * 0.6)
        producer = KafkaProducer(**settings.kafka_options())
        event = b'{"event_id": "e-1", "type": "clik", "user_id": "683", "item_id": "50", "event_time": 1795326060000}'
        producer.send(settings.topic(INTERACTIONS), key=USER.encode(), value=event).get(10)
        producer.close()
        time.sleep(A_MINUTE_S * 0.4)
        _taken(page, folder / "live.png")
        page.emulate_media(color_scheme="dark")
        _taken(page, folder / "live-dark.png")
        page.emulate_media(color_scheme="light")
        page.set_viewport_size(TELEPHONE)
        _taken(page, folder / "live-telephone.png")


def _press(page: Page, at: int, action: str) -> None:
    before = page.locator("#history li").count()
    page.click(f"#one .slate li:nth-child({at}) button[data-action={action}]")
    page.locator(f"#history li >> nth={before}").wait_for(state="attached")
    time.sleep(0.3)  # people do not press faster


def _taken(page: Page, path: Path) -> None:
    page.mouse.move(0, 0)
    page.wait_for_timeout(1600)  # until what is new no longer glows
    page.screenshot(path=path)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else DOCS)

"""A real headless Chromium, Debian's, for what people look at: the page tests, the screenshots, the bench."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
MISSING = "no Chromium here (apt-get install chromium)"
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --disable-background-networking"
    " --disable-component-update --disable-sync --no-first-run"
)
PATIENCE_MS = 15_000


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser; it ends with the block."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
        yield browser
        browser.close()


@contextmanager
def page_of(browser: Browser, **context: Any) -> Iterator[Page]:
    """A page with a memory of its own; fails at the end if an error was thrown, or written to the console."""
    complaints: list[str] = []
    page = browser.new_page(**context)
    page.set_default_timeout(PATIENCE_MS)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield page
    page.close()
    assert complaints == []

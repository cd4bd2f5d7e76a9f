"""What the page tests share: one browser, and one running Freshet with something to show.

Both end with this folder: while Playwright runs, no other test could start an event loop.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from cli.broker import EmbeddedBroker
from tests.browser import CHROMIUM, MISSING, chromium, page_of
from tests.integration.test_system import CATALOGUE, click, clicks
from tests.system import System, system_at


@pytest.fixture(scope="package")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with EmbeddedBroker() as broker, system_at(broker.bootstrap_servers, tmp_path_factory.mktemp("page")) as running:
        running.start_worker()
        running.start_replica(live_meter_share=1)
        running.send_items(CATALOGUE)
        running.learned(running.send([*clicks(1, 60, 1_700_000_000_000), click("ann", "Horror-0")]))
        running.embedded(len(CATALOGUE))
        yield running


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip(MISSING)
    with chromium() as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with page_of(browser) as opened:
        yield opened

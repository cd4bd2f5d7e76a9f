"""The playground, clicked in a real headless Chromium on a running Freshet."""

import shutil
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect, sync_playwright

from cli.broker import EmbeddedBroker
from tests.integration.test_system import CATALOGUE, click, clicks
from tests.system import System, system_at

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
OPTIONS = (
    "--headless=new --no-sandbox --disable-gpu --disable-quic --disable-background-networking"
    " --disable-component-update --disable-sync --no-first-run"
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here (apt-get install chromium)")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with EmbeddedBroker() as broker, system_at(broker.bootstrap_servers, tmp_path_factory.mktemp("page")) as running:
        running.start_worker()
        running.start_replica()
        running.send_items(CATALOGUE)
        running.learned(running.send([*clicks(1, 60, 1_700_000_000_000), click("ann", "Horror-0")]))
        running.embedded(len(CATALOGUE))
        yield running


@pytest.fixture
def page(system: System) -> Iterator[Page]:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS.split())
        page = browser.new_page()
        page.set_default_timeout(15_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(f"{system.url}/ui#ann")
        page.wait_for_selector("#slate li")
        yield page
        browser.close()
    assert complaints == []


def slate_of(page: Page) -> list[str]:
    return [item.get_attribute("data-item-id") or "" for item in page.query_selector_all("#slate li[data-item-id]")]


def test_a_click_changes_the_slate_and_the_page_tells_the_milliseconds(page: Page):
    before = slate_of(page)
    page.click("#slate li:first-child button[data-action=click]")
    page.wait_for_selector("#latency[data-ms]")
    expect(page.locator(f'#slate li[data-item-id="{before[0]}"]')).to_have_count(0)
    assert 0 < float(page.get_attribute("#latency", "data-ms") or 0) < 15_000
    assert "ms" in page.inner_text("#latency")
    assert len(slate_of(page)) == 10


def test_the_slate_on_the_page_is_the_one_that_the_api_serves(page: Page, system: System):
    served = httpx.get(f"{system.url}/v1/users/ann/recommendations").json()
    assert slate_of(page) == [item["item_id"] for item in served["items"]]
    for item in served["items"]:
        shown = page.inner_text(f'#slate li[data-item-id="{item["item_id"]}"]')
        assert item["title"] in shown
        assert item["reasons"][0].lower() in shown.lower()


def test_history_search_similar_items_and_a_new_guest_work(page: Page):
    assert "Horror: a monster" in page.inner_text("#history")
    page.fill("#search", "a romantic story in France")
    page.press("#search", "Enter")
    page.wait_for_selector("#results li")
    assert "Romance" in page.inner_text("#results li:first-child")
    page.click("#slate li:first-child button[data-action=similar]")
    page.click("#guest")
    expect(page.locator("#history li")).to_have_count(0)
    assert "trending" in page.inner_text("body").lower()


def test_what_cannot_be_answered_is_said_on_the_page(page: Page):
    page.fill("#user", "x" * 128)
    page.press("#user", "Enter")
    expect(page.locator("#slate li").first).to_be_visible()
    assert page.locator("#error").is_hidden()

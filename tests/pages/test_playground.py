"""The playground, clicked in a real headless Chromium on a running Freshet."""

import json
import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Page, expect

from tests.system import System


@pytest.fixture
def page(page: Page, system: System) -> Iterator[Page]:
    page.goto(f"{system.url}/ui#ann")
    page.wait_for_selector("#one .slate li")
    yield page


def slate_of(page: Page, panel: str = "#one") -> list[str]:
    return [one.get_attribute("data-item-id") or "" for one in page.query_selector_all(f"{panel} .slate > li")]


def asked(page: Page, panel: str = "#one") -> dict:
    """The body of the request that the curl command shows."""
    found = re.search(r"-d '(.*)'", page.locator(f"{panel} .curl").text_content() or "")
    return json.loads(found.group(1)) if found else {}


def test_a_click_changes_the_slate_and_the_page_tells_the_milliseconds(page: Page):
    before = slate_of(page)
    page.click("#one .slate li:first-child button[data-action=click]")
    page.wait_for_selector("#latency[data-ms]")
    expect(page.locator(f'#one .slate li[data-item-id="{before[0]}"]')).to_have_count(0)
    assert 0 < float(page.get_attribute("#latency", "data-ms") or 0) < 15_000
    assert "ms" in page.inner_text("#latency")
    assert len(slate_of(page)) == 10


def test_the_slate_on_the_page_is_the_one_that_the_api_serves(page: Page, system: System):
    served = httpx.get(f"{system.url}/v1/users/ann/recommendations", params={"explain": True}).json()
    assert slate_of(page) == [item["item_id"] for item in served["items"]]
    for item in served["items"]:
        entry = page.locator(f'#one .slate li[data-item-id="{item["item_id"]}"]')
        shown = entry.inner_text()
        assert item["title"] in shown and item["source"] in shown
        assert item["reasons"][0].lower() in shown.lower()
        told = entry.locator(".parts").get_attribute("aria-label") or ""
        assert all(f"{name} {part:.2f}" in told for name, part in item["parts"].items() if part)


def test_history_search_similar_items_and_a_new_guest_work(page: Page):
    assert "Horror: a monster" in page.inner_text("#history")
    page.fill("#search", "a romantic story in France")
    page.press("#search", "Enter")
    page.wait_for_selector("#results li")
    assert "Romance" in page.inner_text("#results li:first-child")
    page.click("#one .slate li:first-child button[data-action=similar]")
    page.wait_for_selector("#one .similar li")
    page.click("#guest")
    expect(page.locator("#history li")).to_have_count(0)
    assert "trending" in page.inner_text("body").lower()


def test_a_guest_who_logs_in_keeps_the_history(page: Page):
    page.click("#guest")
    expect(page.locator("#history li")).to_have_count(0)
    liked = page.locator("#one .slate li").first.get_attribute("data-title") or ""
    page.click("#one .slate li:first-child button[data-action=like]")
    expect(page.locator("#history li")).to_have_count(1)
    page.fill("#target", "bob")
    page.click("#merge-form button")
    page.wait_for_url("**/ui#bob")
    expect(page.locator("#merge-form")).to_be_hidden()
    expect(page.locator("#history li")).to_have_text(re.compile(re.escape(liked)))
    assert "bob" in page.inner_text("#split") and "1 interaction" in page.inner_text("#split")


def test_sliders_change_what_is_asked_for_and_defaults_take_it_back(page: Page):
    assert asked(page) == {}
    for name, value in (("diversity", "0.8"), ("explore", "0.5")):
        page.fill(f"#one input[name={name}]", value)
        page.dispatch_event(f"#one input[name={name}]", "change")
    expect(page.locator("#one .curl")).to_contain_text('"diversity":0.8,"explore":0.5')
    expect(page.locator("#one .json")).to_contain_text('"exploration"')  # the source of what was shown to find out
    page.click("#one .defaults")
    expect(page.locator("#one .curl")).not_to_contain_text("diversity")


def test_two_ways_to_answer_stand_side_by_side(page: Page):
    page.click("#compare")
    page.wait_for_selector("#two .slate li")
    assert asked(page, "#two")["without"] == ["covisitation", "sequence", "profile", "kind", "fresh"]
    assert set(page.locator("#two .slate .tag").all_inner_texts()) == {"popularity"}
    page.select_option("#two select", "profile")
    expect(page.locator("#two .facts")).to_contain_text("default.without.profile")
    chosen = slate_of(page, "#two")[0]
    page.click("#two .slate li:first-child button[data-action=hide]")
    for panel in ("#one", "#two"):
        expect(page.locator(f'{panel} .slate li[data-item-id="{chosen}"]')).to_have_count(0)
    page.click("#compare")
    expect(page.locator("#two")).to_be_hidden()


def test_the_keyboard_alone_reaches_and_presses_a_button_and_stays_there(page: Page):
    before = slate_of(page)
    first = "#one .slate li:first-child button[data-action=click]"
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches('{first}')"):
            break
    page.keyboard.press("Enter")
    expect(page.locator(f'#one .slate li[data-item-id="{before[0]}"]')).to_have_count(0)
    assert page.evaluate(f"document.activeElement.matches('{first}')")


def test_what_cannot_be_answered_is_said_on_the_page(page: Page):
    page.fill("#user", "x" * 128)
    page.press("#user", "Enter")
    expect(page.locator("#one .slate li").first).to_be_visible()
    assert page.locator("#error").is_hidden()

"""Nothing that axe-core finds fault with, on either page, dark and light, on a desk and on a telephone."""

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser import page_of
from tests.system import System

AXE = Path(sys.prefix) / "axe-core" / "package" / "axe.min.js"
WIDTHS = {"desk": 1280, "telephone": 390}

pytestmark = pytest.mark.skipif(not AXE.exists(), reason="no axe-core here (make test fetches it with npm)")


def violations(page: Page) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate("axe.run()")["violations"]
    return [f"{one['id']}: {one['help']}: {node['html'][:120]}" for one in found for node in one["nodes"]]


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways."""
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_axe_finds_nothing_wrong(browser: Browser, system: System, scheme: str, width: str):
    size = {"width": WIDTHS[width], "height": 844}
    with page_of(browser, color_scheme=scheme, viewport=size, reduced_motion="reduce") as page:
        page.goto(f"{system.url}/ui/live")
        page.wait_for_selector("#events li")
        assert violations(page) == [] and fits(page)
        page.goto(f"{system.url}/ui#ann")
        page.wait_for_selector("#one .slate li")
        assert violations(page) == [] and fits(page)
        page.click("#compare")
        page.wait_for_selector("#two .slate li")
        page.click("#one .slate li:nth-child(2) button[data-action=similar]")
        page.wait_for_selector("#one .similar li")
        for panel in ("#one", "#two"):
            page.click(f"{panel} summary")
        page.fill("#one input[name=explore]", "0.3")
        assert violations(page) == [] and fits(page)
        page.goto(f"{system.url}/ui#guest-of-{scheme}-{width}")
        expect(page.locator("#history li")).to_have_count(0)
        page.click("#one .slate li:first-child button[data-action=like]")
        page.wait_for_selector("#merge-form:not([hidden])")
        assert violations(page) == [] and fits(page)

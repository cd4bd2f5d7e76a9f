"""The live page in a real headless Chromium: what it says is what /metrics and Kafka say."""

import re
from collections import defaultdict

import httpx
from kafka import KafkaProducer
from playwright.sync_api import Browser, Page, expect

from domain.topics import DEAD_LETTERS, INTERACTIONS
from tests.browser import page_of
from tests.integration.test_emitter import read_topic
from tests.integration.test_system import CATALOGUE, click
from tests.system import System

RECOMMEND = "/v1/users/{user_id:path}/recommendations"
KEY = "0123456789abcdef"


def metrics(system: System) -> dict[str, float]:
    """Each sample of /metrics, its name and labels as they stand there."""
    lines = httpx.get(f"{system.url}/metrics").text.splitlines()
    return {name: float(value) for name, value in (one.rsplit(" ", 1) for one in lines if not one.startswith("#"))}


def total(samples: dict[str, float], name: str, having: str = "") -> int:
    return int(sum(value for key, value in samples.items() if re.split("[{ ]", key)[0] == name and having in key))


def median_ms(samples: dict[str, float], name: str) -> float:
    """As Prometheus' histogram_quantile(0.5, ...) has it."""
    buckets = defaultdict(float)
    for key, value in samples.items():
        if found := re.match(rf'{name}_bucket\{{le="(.*)"\}}', key):
            buckets[float(found.group(1))] = value
    lower = below = 0.0
    for bound, upto in buckets.items():
        if bound == float("inf"):
            return 1000 * lower
        if upto >= buckets[float("inf")] / 2:
            return 1000 * (lower + (bound - lower) * (buckets[float("inf")] / 2 - below) / (upto - below))
        lower, below = bound, upto
    raise AssertionError("no bucket holds the median")


def test_the_numbers_on_the_page_are_those_of_metrics_and_of_the_log(page: Page, system: System):
    unseen = iter(CATALOGUE)

    def judged() -> bool:
        """Clicks once more: a click is looked up in the slate made after the one before, if there was time for one."""
        system.learned(system.send([click("eve", next(unseen).item_id)]))
        return total(metrics(system), "freshet_live_judged_total") > 0

    system.until(judged)
    page.goto(f"{system.url}/ui/live")
    there = len(read_topic(system.settings, INTERACTIONS))
    expect(page.locator("#events-total")).to_have_text(str(there))
    expect(page.locator("#waiting")).to_have_text("0")
    told = metrics(system)
    measured = total(told, "freshet_freshness_seconds_count")
    expect(page.locator("#freshness")).to_have_attribute("data-count", str(measured))
    expect(page.locator("#fresh-over")).to_have_text("measured since the start")
    assert page.inner_text("#fresh-count") == f"{measured:,}"
    median = median_ms(told, "freshet_freshness_seconds")
    assert page.inner_text("#fresh-p50") == (f"{median:.1f}" if median < 10 else f"{round(median):,}")
    assert page.inner_text("#slates") == f"{total(told, 'freshet_slates_total'):,}"
    row = page.locator(f'#routes tr[data-route="{RECOMMEND}"]')
    asked = total(told, "freshet_request_seconds_count", f'route="{RECOMMEND}"')
    expect(row).to_have_attribute("data-count", str(asked))
    for name in ("new", "known"):
        judged = total(told, "freshet_live_judged_total", name)
        recall = told.get(f'freshet_live_recall_at_10{{slice="{name}"}}', 0.0)
        assert not judged or f"{name} {recall:.3f} of {judged}" in page.inner_text("#quality-told")


def test_events_flow_by_and_freshness_and_requests_move_each_second(page: Page, system: System):
    page.goto(f"{system.url}/ui/live")
    page.wait_for_selector("#events li")
    assert page.inner_text("#curl") == f"curl '{system.url}/v1/live'"
    before = int(page.get_attribute("#freshness", "data-count") or 0)
    system.learned(system.send([click("flo", "Romance-5")]))
    newest = page.locator("#events li").first
    expect(newest).to_contain_text("Romance: a love story in Paris, part 5")
    expect(newest).to_contain_text("click")
    expect(newest.locator("a")).to_have_attribute("href", "/ui#flo")
    expect(page.locator("#freshness")).to_have_attribute("data-count", str(before + 1))
    expect(page.locator("#fresh-over")).to_have_text("measured in a minute")
    expect(page.locator("#requests-rate")).to_have_text(re.compile(r"\d"))
    expect(page.locator("#events-line path:last-child")).to_have_attribute("d", re.compile("L"))


def test_a_dead_letter_comes_with_its_reason_and_what_others_wrote_stays_text(page: Page, system: System):
    page.goto(f"{system.url}/ui/live")
    expect(page.locator("#letters-count")).to_have_text("0")
    producer = KafkaProducer(**system.settings.kafka_options())
    bad = b'{"event_id": "<img src=x onerror=alert(1)>", "type": "<b>clik</b>"}'
    producer.send(system.settings.topic(INTERACTIONS), key=b"ann", value=bad).get(10)
    producer.close()
    expect(page.locator("#letters-count")).to_have_text("1")
    letter = page.locator("#letters li").first
    said = {name: raw.decode() for name, raw in read_topic(system.settings, DEAD_LETTERS)[0].headers}
    expect(letter.locator(".tag")).to_have_text(said["reason"])
    expect(letter).to_contain_text(said["detail"])
    expect(letter).to_contain_text(f"{said['topic']} {said['partition']}@{said['offset']}")
    expect(page.locator("#events li").first).to_contain_text("<b>clik</b>")
    assert page.locator("main img, main b").count() == 0


def test_the_log_is_read_while_somebody_looks_and_no_longer(browser: Browser, system: System):
    with page_of(browser) as page:
        page.goto(f"{system.url}/ui/live")
        page.wait_for_selector("#events li")
        assert metrics(system)["freshet_log_tail_open"] == 1
    system.until(lambda: metrics(system)["freshet_log_tail_open"] == 0)
    asked = 'freshet_request_seconds_count{route="/v1/live",status="200"}'
    before = metrics(system)[asked]
    assert metrics(system)[asked] == before


def test_with_keys_set_the_page_asks_for_one_and_goes_on(browser: Browser, system: System):
    open_url = system.url
    guarded = system.start_replica(api_keys=f'["{KEY}"]', search=False)
    try:
        assert httpx.get(f"{system.url}/v1/live").status_code == 401
        page = browser.new_page()  # the browser itself writes each 401 to the console
        page.goto(f"{system.url}/ui/live")
        page.fill("#key", KEY)
        page.press("#key", "Enter")
        page.wait_for_selector("#events li")
        expect(page.locator("#key-form")).to_be_hidden()
        page.click("nav a >> text=Playground")
        page.wait_for_selector("#one .slate li")  # the key is kept for the tab
        page.close()
    finally:
        guarded.stop()
        system.children.remove(guarded)
        system.url = open_url

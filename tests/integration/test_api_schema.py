"""The API holds what its OpenAPI document says, whatever is asked of a running replica.

Schemathesis reads the document and makes requests from it: right ones, wrong ones, and those at the edges.
Every answer must be of a status and a shape that the document names, and none a 5xx but the promised 503.
"""

from collections.abc import Iterator
from contextlib import suppress

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from cli.broker import EmbeddedBroker
from domain.items import Item
from domain.topics import DEAD_LETTERS
from tests.integration.test_emitter import read_topic
from tests.integration.test_system import click
from tests.system import System, system_at

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with EmbeddedBroker() as broker, system_at(broker.bootstrap_servers, tmp_path_factory.mktemp("api")) as running:
        running.start_worker()
        running.start_replica(max_wait_ms=5)
        running.send_items([Item(item_id=f"i{n}", title=f"Item {n}", categories=["A"], price=n) for n in range(20)])
        running.learned(running.send([click(f"u{n % 3}", f"i{n}") for n in range(20)]))
        running.embedded(20)
        yield running


def holds(case: schemathesis.Case) -> None:
    """Makes a request; its answer must be one that the document names."""
    answer = case.call(timeout=30)
    if answer.status_code != 503:
        case.validate_response(answer, checks=[not_a_server_error, *CHECKS])
    else:
        case.validate_response(answer, checks=CHECKS)
        assert answer.headers["content-type"] == ["application/problem+json"] and answer.headers["retry-after"]


def ask(url: str, examples: int, part: slice = slice(None)) -> None:
    """Asks each operation, or a part of them, as the document allows, and as it forbids."""
    for found in list(schemathesis.openapi.from_url(f"{url}/openapi.json").get_all_operations())[part]:
        for mode in GenerationMode:
            with suppress(Unsatisfiable):  # nothing is forbidden where nothing can be given
                asked = given(case=found.ok().as_strategy(generation_mode=mode))(holds)
                settings(max_examples=examples, suppress_health_check=list(HealthCheck))(asked)()


def requests(url: str) -> int:
    """How many requests the replica has counted."""
    told = httpx.get(f"{url}/metrics").text.splitlines()
    return int(sum(float(one.split()[-1]) for one in told if one.startswith("freshet_request_seconds_count{")))


def test_every_answer_is_one_that_the_document_names(system: System) -> None:
    before = requests(system.url)
    ask(system.url, examples=8)
    assert requests(system.url) - before > 100


@pytest.mark.long
@pytest.mark.parametrize("part", range(3))
def test_ten_thousand_hostile_requests_get_answers_that_the_document_names(system: System, part: int) -> None:
    before = requests(system.url)
    ask(system.url, examples=700, part=slice(part, None, 3))
    assert requests(system.url) - before >= 10_000 / 3
    test_what_the_api_took_the_worker_could_use(system)


def test_what_the_api_took_the_worker_could_use(system: System) -> None:
    system.learned(system.send([click("ann", "i1")]))
    assert [child.status() for child in system.children] == [None, None]
    assert [dict(one.headers) for one in read_topic(system.settings, DEAD_LETTERS)] == []

"""The API holds what its OpenAPI document says, whatever is asked of a running replica.

Schemathesis reads the document and makes requests from it: right ones, wrong ones, and those at the edges.
Every answer must be of a status and a shape that the document names, and none a 5xx but the promised 503.
"""

from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from cli.broker import EmbeddedBroker
from domain.items import Item
from domain.settings import KafkaSettings, load_settings
from domain.topics import DEAD_LETTERS
from stream.topic_admin import create_topics
from tests.integration.test_emitter import read_topic
from tests.integration.test_system import click
from tests.system import System

CHECKS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
PATIENT = settings(deadline=None, suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with EmbeddedBroker() as broker:
        overrides: dict[str, object] = {
            "bootstrap_servers": broker.bootstrap_servers,
            "partitions": 2,
            "fetch_max_wait_ms": 5,
        }
        kafka = load_settings(KafkaSettings, **overrides)
        create_topics(kafka)
        running = System(kafka, overrides, tmp_path_factory.mktemp("api"))
        running.start_worker()
        running.start_replica(max_wait_ms=5)
        running.send_items([Item(item_id=f"i{n}", title=f"Item {n}", categories=["A"], price=n) for n in range(20)])
        running.learned(running.send([click(f"u{n % 3}", f"i{n}") for n in range(20)]))
        running.embedded(20)
        yield running
        running.close()


@pytest.fixture(scope="module")
def api(system: System) -> schemathesis.BaseSchema:
    return schemathesis.openapi.from_url(f"{system.url}/openapi.json")


schema = schemathesis.pytest.from_fixture("api")


def holds(case: schemathesis.Case) -> None:
    answer = case.call(timeout=30)
    if answer.status_code != 503:
        case.validate_response(answer, checks=[not_a_server_error, *CHECKS])
    else:
        case.validate_response(answer, checks=CHECKS)
        assert answer.headers["content-type"] == ["application/problem+json"] and answer.headers["retry-after"]


def requests(system: System) -> int:
    """How many requests the replica has counted."""
    told = httpx.get(f"{system.url}/metrics").text.splitlines()
    return int(sum(float(one.split()[-1]) for one in told if one.startswith("freshet_request_seconds_count{")))


@schema.parametrize()
@settings(PATIENT, max_examples=20)
def test_every_answer_is_one_that_the_document_names(case: schemathesis.Case) -> None:
    holds(case)


@pytest.mark.long
@schema.parametrize()
@settings(PATIENT, max_examples=800)
def test_ten_thousand_hostile_requests_get_answers_that_the_document_names(case: schemathesis.Case) -> None:
    holds(case)


@pytest.mark.long
def test_they_were_ten_thousand(system: System) -> None:
    assert requests(system) >= 10_000


def test_what_the_api_took_the_worker_applied(system: System) -> None:
    taken = [click("ann", "i1")]
    system.learned(system.send(taken))
    assert [child.status() for child in system.children] == [None, None]
    assert [dict(one.headers) for one in read_topic(system.settings, DEAD_LETTERS)] == []

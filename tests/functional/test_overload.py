"""More requests than a replica can do: the surplus is refused at once, the rest is served, health is reached."""

import asyncio
from collections import Counter

import httpx
import pytest

from embeddings.transformer import TransformerEncoder
from tests.builders import Deployment
from tests.functional.test_gate import client_of

pytestmark = pytest.mark.anyio
SLATE = "/v1/users/a/recommendations"


async def test_what_no_longer_fits_the_queue_is_refused_at_once_with_when_to_come_again(encoder: TransformerEncoder):
    async with client_of(Deployment(encoder, max_queued=4)) as client:
        answers = await asyncio.gather(*[client.get(SLATE) for _ in range(20)])
        assert Counter(one.status_code for one in answers) == {200: 4, 503: 16}
        refused = next(one for one in answers if one.status_code == 503)
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
        assert "4 requests wait for the processor already (FRESHET_MAX_QUEUED)" in refused.json()["detail"]
        assert (await client.get(SLATE)).status_code == 200
        told = (await client.get("/metrics")).text
        assert 'freshet_request_seconds_count{route="shed",status="503"}' in told


async def test_health_metrics_and_the_live_page_are_answered_before_those_who_wait(encoder: TransformerEncoder):
    order: list[str] = []
    unqueued = {"/health/live", "/metrics", "/v1/live"}
    deployment = Deployment(encoder, max_queued=50)

    async with client_of(deployment) as client:

        async def ask(path: str) -> httpx.Response:
            answer = await client.get(path)
            order.append(path)
            return answer

        await asyncio.gather(*[ask(SLATE) for _ in range(50)], *[ask(path) for path in unqueued])
        await deployment.replica.tail.stop()  # the look began to ask a Kafka that is not there
    assert len(order) == 53
    assert unqueued <= set(order[:10])  # they came last


async def test_those_who_wait_for_kafka_are_bounded_as_well(encoder: TransformerEncoder):
    async with client_of(Deployment(encoder, max_in_flight=3)) as client:
        late = {"after": "Mi4yNTE5OQ", "wait_ms": 100}
        answers = await asyncio.gather(*[client.get(SLATE, params=late) for _ in range(10)])
        assert Counter(one.status_code for one in answers) == {200: 3, 503: 7}
        assert not any(one.json()["fresh"] for one in answers if one.status_code == 200)
        refused = next(one for one in answers if one.status_code == 503)
        assert "3 requests are being answered already (FRESHET_MAX_IN_FLIGHT)" in refused.json()["detail"]
        assert (await client.get(SLATE)).status_code == 200


async def test_who_hangs_up_while_waiting_holds_up_nobody(encoder: TransformerEncoder):
    async with client_of(Deployment(encoder, max_queued=20)) as client:
        waiting = [asyncio.create_task(client.get(SLATE)) for _ in range(20)]
        await asyncio.sleep(0)
        for one in waiting[::2]:
            one.cancel()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [getattr(one, "status_code", 0) for one in answers[1::2]] == [200] * 10
        assert (await client.get(SLATE)).status_code == 200

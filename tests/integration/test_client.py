"""The client against a real HTTP server: typed answers, retries, and one kind of error for each failure."""

import json
import socket
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from cli.broker import free_port
from domain.answers import EntryResult
from domain.errors import ConfigError, EventError, ServingError, ServingUnavailable
from freshet import Client, Interaction, UserChange
from tests.integration.scripted_server import Play, ScriptedServer, scripted_server

SLATE = {
    "recommendation_id": "r1",
    "items": [{"item_id": "i1", "title": "One", "score": 0.5, "rank": 0, "source": "trending", "reasons": ["popular"]}],
    "profile": {"as_of": None, "interactions": 0},
    "fallback": "trending",
    "variant": "default",
    "next_cursor": None,
    "stale": False,
    "fresh": True,
    "degraded": [],
    "removed": {"already_seen": 3},
    "took_ms": 1.5,
}
FOUND = {"items": [{"item_id": "i1", "title": "One", "score": 0.5, "reasons": []}]}
CLICK = {"event_id": "e1", "type": "click", "user_id": "u", "item_id": "i", "event_time": 1}


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as running:
        yield running


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.url, api_key="0123456789abcdef", timeout_s=1.0) as client:
        yield client


def accepted(count: int) -> dict[str, object]:
    return {"accepted": count, "refused": 0, "results": [{"accepted": True, "token": "MC41"}] * count}


def test_a_slate_arrives_typed(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(body=SLATE))
    slate = client.recommend("u 1ü", count=3, after="MC41", wait_ms=10)
    assert (slate.items[0].item_id, slate.fallback, slate.removed) == ("i1", "trending", {"already_seen": 3})
    asked = server.asked[0]
    expected = "/v1/users/u%201%C3%BC/recommendations?count=3&explain=true&after=MC41&wait_ms=10"
    assert (asked.method, asked.path) == ("GET", expected)
    assert asked.headers["Authorization"] == "Bearer 0123456789abcdef"


def test_fields_that_a_path_cannot_carry_go_as_a_post(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(body=SLATE))
    client.recommend("u1", exclude=["i2"], diversity=0.3)
    for odd in ("a/b", "..", "."):
        client.recommend(odd, explain=False)
    assert [(one.method, one.path) for one in server.asked] == [("POST", "/v1/recommendations")] * 4
    assert server.asked[0].body == {
        "user_id": "u1", "count": 10, "explain": True, "exclude": ["i2"], "diversity": 0.3,
    }  # fmt: skip
    assert [one.body["user_id"] for one in server.asked[1:]] == ["a/b", "..", "."]


def test_the_lists_arrive_typed(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(body=FOUND))
    assert client.similar_items("i/2")[0].score == 0.5
    assert client.trending(5, category="Sci-Fi")[0].title == "One"
    assert client.search("space opera")[0].item_id == "i1"
    assert [one.path for one in server.asked] == [
        "/v1/items/i%2F2/similar?count=10",
        "/v1/items/trending?count=5&category=Sci-Fi",
        "/v1/search?q=space+opera&count=10",
    ]


def test_a_profile_arrives_typed(server: ScriptedServer, client: Client) -> None:
    entry = {"item_id": "i", "title": "", "type": "click", "event_time": 1, "value": None}
    server.plays(
        Play(
            body={
                "user_id": "u", "interactions": 1, "as_of": 1, "opted_out": False,
                "history": [entry], "interests": 1, "categories": {"a": 1.0},
            }
        )
    )  # fmt: skip
    assert client.profile("u").history[0].event_time == 1


def test_each_entry_of_a_batch_has_its_result_in_order(server: ScriptedServer, client: Client) -> None:
    results = [{"accepted": True, "token": "MC41"}, {"accepted": False, "error": "type: 'x' is not one of"}]
    server.plays(Play(body={"accepted": 1, "refused": 1, "results": results}))
    got = client.send_events([Interaction(**CLICK), CLICK | {"type": "x"}])
    assert got == [
        EntryResult(accepted=True, token="MC41"),
        EntryResult(accepted=False, error="type: 'x' is not one of"),
    ]
    assert server.asked[0].body == [CLICK, CLICK | {"type": "x"}]


def test_long_lists_go_in_several_requests_and_empty_ones_in_none(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(body=accepted(500)), Play(body=accepted(500)), Play(body=accepted(1)))
    assert len(client.send_events(CLICK | {"event_id": str(n)} for n in range(1_001))) == 1_001
    assert [len(one.body) for one in server.asked] == [500, 500, 1]
    assert client.send_items([]) == [] and len(server.asked) == 3
    server.plays(Play(body=accepted(1)))
    client.send_items([{"item_id": "a", "description": "x" * 300_000}] * 2)
    assert [len(one.body) for one in server.asked[3:]] == [1, 1]


def test_user_changes_go_to_users(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(body=accepted(1)))
    client.change_users([UserChange(user_id="u", action="opt_out", event_time=1)])
    assert server.asked[0].path == "/v1/users"


def test_a_number_that_json_cannot_write_is_refused_before_it_is_sent(client: Client) -> None:
    with pytest.raises(EventError, match="NaN"):
        client.send_events([CLICK | {"value": float("nan")}])


@pytest.mark.parametrize("trouble", [Play(502), Play(503), Play(504), Play(0)], ids=["502", "503", "504", "hang up"])
def test_passing_trouble_is_tried_again(server: ScriptedServer, client: Client, trouble: Play) -> None:
    server.plays(trouble, Play(body=accepted(1)))
    assert client.send_events([CLICK])[0].accepted
    assert len(server.asked) == 2


def test_retries_end_with_the_last_answers_problem(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(503, {"type": "about:blank", "title": "Away", "status": 503, "detail": "Kafka is away"}))
    with pytest.raises(ServingError, match="HTTP 503: Kafka is away") as refused:
        client.trending()
    assert (refused.value.status, refused.value.detail, len(server.asked)) == (503, "Kafka is away", 3)


def test_the_servers_wish_when_to_come_back_is_kept(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(503, headers={"Retry-After": "1"}), Play(body=FOUND))
    client.trending()
    first, second = server.asked
    assert 1.0 <= second.at - first.at < 2.0


def test_a_pause_too_long_to_wait_for_is_reported_at_once(server: ScriptedServer, client: Client) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    for wish in ("3600", date):
        server.plays(Play(503, headers={"Retry-After": wish}))
        before = len(server.asked)
        with pytest.raises(ServingError):
            client.trending()
        assert len(server.asked) == before + 1


@pytest.mark.parametrize("status", [400, 401, 404, 413, 422, 429, 500])
def test_other_problems_are_raised_at_once_with_their_detail(
    server: ScriptedServer, client: Client, status: int
) -> None:
    server.plays(Play(status, {"title": "No", "status": status, "detail": "count: between 1 and 200"}))
    with pytest.raises(ServingError, match="count: between") as refused:
        client.recommend("u", count=0)
    assert (refused.value.status, len(server.asked)) == (status, 1)


def test_an_answer_that_is_not_freshets_is_quoted(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(200, b"<html>Welcome"))
    with pytest.raises(ServingError, match="<html>Welcome"):
        client.trending()
    server.plays(Play(404, b"<html>Not here"))
    with pytest.raises(ServingError, match="HTTP 404: '<html>Not here'"):
        client.trending()


def test_a_slow_answer_costs_one_timeout_and_no_more(server: ScriptedServer) -> None:
    server.plays(Play(body=FOUND, delay_s=2.0))
    with Client(server.url, timeout_s=0.1) as client:
        started = time.monotonic()
        with pytest.raises(ServingUnavailable, match="did not answer within 0.1 s"):
            client.trending()
    assert time.monotonic() - started < 1.5


def test_the_time_that_the_server_may_wait_is_added_to_the_timeout(server: ScriptedServer) -> None:
    server.plays(Play(body=SLATE, delay_s=0.4))
    with Client(server.url, timeout_s=0.2) as client:
        assert client.recommend("u", after="MC41", wait_ms=500).fresh


def test_nobody_there_is_an_error_that_names_the_address() -> None:
    address = f"http://127.0.0.1:{free_port()}"
    with Client(address) as client, pytest.raises(ServingUnavailable, match=f"{address} cannot be reached"):
        client.trending()


@pytest.mark.parametrize(
    "address", ["localhost:8080", "ftp://localhost", "http://", "", "http://[::1", "http://me:secret@localhost"]
)
def test_what_is_no_http_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="base_url: expected http://HOST:PORT"):
        Client(address)


def test_an_api_below_a_path_is_asked_there(server: ScriptedServer) -> None:
    server.plays(Play(body=FOUND))
    with Client(f"{server.url}/freshet/") as client:
        client.trending()
        client.similar_items("i")
    assert [one.path for one in server.asked] == [
        "/freshet/v1/items/trending?count=10",
        "/freshet/v1/items/i/similar?count=10",
    ]


def test_a_redirect_is_not_followed_with_the_key(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(302, headers={"Location": f"{server.url}/elsewhere"}))
    with pytest.raises(ServingError, match="HTTP 302"):
        client.trending()
    assert len(server.asked) == 1


def test_a_connection_that_the_server_closed_meanwhile_is_not_an_error() -> None:
    answer = json.dumps(FOUND).encode()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            for _ in range(2):
                connection, _ = listening.accept()
                with connection:
                    for _ in range(2):
                        while not connection.recv(65536).endswith(b"\r\n\r\n"):
                            pass
                        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(answer), answer))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        with Client(f"http://127.0.0.1:{listening.getsockname()[1]}", timeout_s=5, retries=0) as client:
            for _ in range(4):  # two over each connection, which is closed without a word then
                assert client.trending()
                time.sleep(0.05)
        thread.join(5)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("fields", "named"), [({"api_key": "sixteen-letters-\n"}, "api_key"), ({"timeout_s": 0}, "timeout_s")]
)
def test_what_no_request_could_be_made_with_is_refused_at_once(fields: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigError, match=named) as refused:
        Client("http://127.0.0.1:1", **fields)
    assert "sixteen" not in str(refused.value)


def test_a_client_that_was_closed_says_so_at_once(server: ScriptedServer, client: Client) -> None:
    server.plays(Play(body=FOUND))
    client.close()
    with pytest.raises(ServingUnavailable, match="closed"):
        client.trending()

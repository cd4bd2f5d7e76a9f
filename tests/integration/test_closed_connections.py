"""What becomes of a request on a connection that has just gone, by both event loops."""

import asyncio
from collections.abc import Awaitable, Callable
from inspect import unwrap

import faust
import mode.loop
import pytest
import uvicorn
import uvloop
from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError
from aiokafka.protocol.metadata import MetadataRequest

from domain.closed_connections import SENDING, fail_as_closed
from domain.settings import KafkaSettings, ServingSettings, StreamSettings, load_settings
from serving import server
from stream import worker
from stream.topic_admin import create_topics

Closings = list[CloseReason]
Loop = Callable[[], asyncio.AbstractEventLoop]
Ask = Callable[[AIOKafkaConnection], Awaitable[object]]

ASKS: list[Ask] = [lambda one: one.send(MetadataRequest([])), lambda one: one._send_sasl_token(b"token")]


async def ask_where_nobody_hears(
    kind: type[AIOKafkaConnection], settings: KafkaSettings, closings: Closings, ask: Ask = ASKS[0]
) -> None:
    host, port = settings.bootstrap_servers.split(":")
    connection = kind(host, int(port), on_close=lambda _, reason: closings.append(reason))
    await connection.connect()
    assert await connection.send(MetadataRequest([]))
    connection._writer.transport.abort()
    await asyncio.sleep(0)  # the loop has closed the transport, and the connection's reader is to hear of it next
    assert connection._writer is not None
    await ask(connection)


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_request_on_a_connection_that_is_gone_fails_as_one_that_the_client_tries_again(
    settings: KafkaSettings, loop: Loop, ask: Ask
):
    class Connection(AIOKafkaConnection):
        """One of this test's own to change."""

    closings: Closings = []
    for _ in range(2):  # the second time changes nothing
        fail_as_closed(Connection, CloseReason.CONNECTION_BROKEN, KafkaConnectionError)
    with asyncio.Runner(loop_factory=loop) as runner, pytest.raises(KafkaConnectionError):
        runner.run(ask_where_nobody_hears(Connection, settings, closings, ask))
    assert closings == [CloseReason.CONNECTION_BROKEN]


def test_uvloop_by_itself_raises_what_aiokafka_does_not_expect(settings: KafkaSettings):
    """Once this fails, `domain/closed_connections.py` can go."""

    class Connection(AIOKafkaConnection):
        """As it comes, whatever another test in this process has changed."""

        send = unwrap(AIOKafkaConnection.send)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, pytest.raises(RuntimeError) as raised:
        runner.run(ask_where_nobody_hears(Connection, settings, []))
    assert raised.type is RuntimeError and "handler is closed" in str(raised.value)


def test_what_aiokafka_itself_refuses_to_send_is_said_as_it_is_and_closes_nothing(settings: KafkaSettings):
    class Connection(AIOKafkaConnection):
        """One of this test's own to change."""

    async def ask() -> None:
        host, port = settings.bootstrap_servers.split(":")
        connection = Connection(host, int(port))
        await connection.connect()
        try:
            versions, connection._versions = connection._versions, {MetadataRequest.API_KEY: (1000, 1001)}
            with pytest.raises(NotImplementedError):  # a RuntimeError as well
                await connection.send(MetadataRequest([]))
            connection._versions = versions
            assert await connection.send(MetadataRequest([]))
        finally:
            connection.close()

    fail_as_closed(Connection, CloseReason.CONNECTION_BROKEN, KafkaConnectionError)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(ask())


@pytest.fixture
def unmended(monkeypatch: pytest.MonkeyPatch) -> type[AIOKafkaConnection]:
    """The class that a process's clients use, as it comes; what a start does to this process is kept from it."""
    for name in SENDING:
        monkeypatch.setattr(AIOKafkaConnection, name, unwrap(getattr(AIOKafkaConnection, name)))
    for at_start in (server, worker):
        monkeypatch.setattr(at_start, "collect_rarely", lambda _: None)
    monkeypatch.setattr(worker, "pass_over_what_is_here", lambda: None)
    monkeypatch.setattr(worker, "give_way", lambda _: None)
    monkeypatch.setattr(mode.loop, "use", lambda _: None)
    return AIOKafkaConnection


def is_mended(connection: type[AIOKafkaConnection]) -> bool:
    return all(hasattr(getattr(connection, name), "__wrapped__") for name in SENDING)


def test_a_replica_mends_its_connections_before_it_runs(unmended, settings, overrides, monkeypatch):
    found = [is_mended(unmended)]
    monkeypatch.setattr(uvicorn.Server, "run", lambda _: found.append(is_mended(unmended)))
    server.serve(load_settings(ServingSettings, **overrides, search=False))
    assert found == [False, True]


def test_a_worker_mends_its_connections_before_it_runs(unmended, settings, overrides, monkeypatch):
    found = [is_mended(unmended)]
    monkeypatch.setattr(faust.Worker, "execute_from_commandline", lambda _: found.append(is_mended(unmended)))
    create_topics(settings)
    worker.work(load_settings(StreamSettings, **overrides))
    assert found == [False, True]

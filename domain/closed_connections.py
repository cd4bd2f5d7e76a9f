"""uvloop and aiokafka, brought to mean the same by a connection that the broker has closed.

What is written to one that is closing is lost silently on asyncio's own loop, and the answer that never comes tells.
uvloop raises a RuntimeError at once, which aiokafka does not expect: it ends the task that asks for the cluster's
metadata, and a consumer then waits for ever for a Kafka that is back (aiokafka's issue 1038). The client's classes are
handed in, so this room stays free of it.
"""

import functools
from collections.abc import Callable
from typing import Any

SENDING = ("send", "_send_sasl_token")
"""All that writes to a connection."""


def fail_as_closed(connection: type[Any], broken: object, error: Callable[[str], Exception]) -> None:
    """Makes requests on a connection that uvloop has closed fail as those on any that broke.

    Once for a process that runs aiokafka on uvloop; a second time changes nothing.

    Args:
        connection: `aiokafka.conn.AIOKafkaConnection`.
        broken: the reason to close it for, so that the client asks anew where the brokers are.
        error: what the client expects then, and tries again after.
    """
    for name in SENDING:
        send = getattr(connection, name)
        if not hasattr(send, "__wrapped__"):
            setattr(connection, name, _or_closed(send, broken, error))


def _or_closed(send: Callable[..., Any], broken: object, error: Callable[[str], Exception]) -> Callable[..., Any]:
    @functools.wraps(send)
    def send_or_close(self: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - aiokafka has no types
        try:
            return send(self, *arguments, **options)
        except RuntimeError as closed:
            if type(closed) is not RuntimeError:  # aiokafka's own errors are some as well
                raise
            self.close(reason=broken)
            raise error(f"Connection at {self.host}:{self.port} closed: {closed}") from closed

    return send_or_close

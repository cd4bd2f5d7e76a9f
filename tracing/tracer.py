"""What the processes know of tracing: spans that travel in Kafka's headers, as W3C trace context."""

from collections.abc import Sequence
from typing import Literal, Protocol

from domain.errors import ConfigError
from domain.log_reader import Headers
from domain.settings import KafkaSettings

HEADER = "traceparent"
"""The header of W3C trace context, on records as on requests."""

MOST_PARENTS = 16
"""Of how many events of one user in one batch the traces go on: each costs its profile 70 bytes of headers."""


class Span(Protocol):
    """One step of a trace, from its start until `end`."""

    @property
    def context(self) -> str:
        """What the next hop needs to go on with the trace; the value of HEADER."""

    def end(self, error: str | None = None) -> None:
        """Ends it, as failed if there is an error."""


class Tracer(Protocol):
    """Starts spans, and exports them in the background."""

    def start(self, name: str, kind: Literal["producer", "consumer"], parent: str | None, topic: str, key: str) -> Span:
        """Starts a span.

        Args:
            name: what is done.
            kind: whether a record is sent or has come.
            parent: the trace context to go on with; None, or one that is not valid, begins a trace.
            topic: the record's.
            key: the record's.
        """

    def close(self) -> None:
        """Exports what has ended."""


def tracer_of(settings: KafkaSettings, service: str) -> Tracer | None:
    """Returns the tracer of a process; None if traces are switched off.

    Raises:
        ConfigError: they are asked for, and OpenTelemetry is not installed.
    """
    if not settings.traces:
        return None
    try:
        from tracing.open_telemetry import OpenTelemetry  # noqa: PLC0415 - optional, and loaded only where it is used
    except ImportError as error:
        raise ConfigError(
            f"FRESHET_TRACES={settings.traces}: OpenTelemetry is not installed ({error.name});"
            " run: pip install 'freshet[traces]'"
        ) from None
    return OpenTelemetry(settings.traces, service)


def parents_of(headers: Headers) -> list[str]:
    """Returns the trace contexts in a record's headers, the newest MOST_PARENTS; mostly none."""
    return [raw.decode("ascii", "replace") for name, raw in headers if name == HEADER][-MOST_PARENTS:]


def headers_of(spans: Sequence[Span]) -> list[tuple[str, bytes]]:
    """Returns the headers that carry spans to the next hop."""
    return [(HEADER, span.context.encode()) for span in spans[-MOST_PARENTS:]]

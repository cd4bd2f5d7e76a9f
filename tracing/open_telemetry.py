"""The tracer itself, the one file that imports OpenTelemetry. Where spans are sent to and how many is set by OTEL_*."""

from pathlib import Path
from typing import Literal

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
from opentelemetry.trace import Span as OtelSpan
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from domain.errors import ConfigError
from tracing.tracer import HEADER

FILE = "file:"
_KINDS = {"producer": SpanKind.PRODUCER, "consumer": SpanKind.CONSUMER}
_propagator = TraceContextTextMapPropagator()


class OpenTelemetry:
    """A `Tracer`. Spans go out in the background; a process that is killed loses the last seconds of them."""

    def __init__(self, target: str, service: str) -> None:
        """Makes a provider of its own: what else a program traces is none of its business.

        Args:
            target: `otlp`, or `file:PATH` for spans as JSON, one a line.
            service: the process's name in the traces.

        Raises:
            ConfigError: the file cannot be written to.
        """
        self._provider = TracerProvider(resource=Resource.create({"service.name": service}))
        self._provider.add_span_processor(BatchSpanProcessor(_exporter(target)))
        self._tracer = self._provider.get_tracer("freshet")

    def start(
        self, name: str, kind: Literal["producer", "consumer"], parent: str | None, topic: str, key: str
    ) -> "OpenTelemetrySpan":
        """See `Tracer.start`."""
        context = _propagator.extract({HEADER: parent}) if parent else None
        attributes = {
            "messaging.system": "kafka",
            "messaging.destination.name": topic,
            "messaging.kafka.message.key": key,
        }
        return OpenTelemetrySpan(self._tracer.start_span(name, context, _KINDS[kind], attributes))

    def close(self) -> None:
        """See `Tracer.close`."""
        self._provider.shutdown()


class OpenTelemetrySpan:
    """A `Span`."""

    __slots__ = ("_span",)

    def __init__(self, span: OtelSpan) -> None:
        self._span = span

    @property
    def context(self) -> str:
        """See `Span.context`."""
        carrier: dict[str, str] = {}
        _propagator.inject(carrier, set_span_in_context(self._span))
        return carrier[HEADER]

    def end(self, error: str | None = None) -> None:
        """See `Span.end`."""
        if error is not None:
            self._span.set_status(StatusCode.ERROR, error)
        self._span.end()


class FileExporter(ConsoleSpanExporter):
    """Writes spans into a file, one a line."""

    def __init__(self, path: str) -> None:
        self._file = Path(path).open("a", encoding="utf-8")
        super().__init__(out=self._file, formatter=_line)

    def shutdown(self) -> None:
        """Closes the file."""
        self._file.close()


def _exporter(target: str) -> SpanExporter:
    if not target.startswith(FILE):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - 0.2 s

        return OTLPSpanExporter()
    try:
        return FileExporter(target.removeprefix(FILE))
    except OSError as error:
        raise ConfigError(f"FRESHET_TRACES={target}: {error.strerror}") from None


def _line(span: ReadableSpan) -> str:
    line: str = span.to_json(indent=None)
    return line + "\n"

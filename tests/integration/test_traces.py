"""Traces: one goes from the sender of an event through the worker into the replica's memory, over a real broker."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx
import pytest

from cli.broker import EmbeddedBroker
from domain.clock import system_clock
from domain.errors import ConfigError
from domain.settings import KafkaSettings, load_settings
from freshet import Emitter
from tests.system import System, system_at
from tracing import tracer_of
from tracing.tracer import MOST_PARENTS, headers_of, parents_of

pytest.importorskip("opentelemetry.sdk", reason="no OpenTelemetry (pip install 'freshet[traces]')")
OUTSIDE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def event(name: str, user: str, **more: object) -> dict[str, object]:
    now = system_clock()
    return {"event_id": name, "type": "click", "user_id": user, "item_id": "film", "event_time": now} | more


class Traced:
    """A running system whose processes write their spans into one file each."""

    def __init__(self, system: System, folder: Path) -> None:
        self.system = system
        self._files = {name: folder / f"{name}.spans" for name in ("emitter", "stream", "serve")}
        for file in self._files.values():
            file.touch()
        system.start_worker(traces=f"file:{self._files['stream']}")
        system.start_replica(traces=f"file:{self._files['serve']}", search=False)
        self.settings = load_settings(KafkaSettings, **system.overrides, traces=f"file:{self._files['emitter']}")

    def spans(self, trace: str) -> dict[str, dict]:
        """The spans of a trace, by name."""
        found = [one for name in self._files for one in self._written(name)]
        return {one["name"]: one for one in found if one["context"]["trace_id"] == trace}

    def _written(self, name: str) -> list[dict]:
        whole, _, _ = self._files[name].read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def trace_of(self, key: str) -> str:
        """The trace in which the emitter sent something under a key."""
        return next(one["context"]["trace_id"] for one in self._written("emitter") if key in one["attributes"].values())

    def awaited(self, trace: str, *names: str) -> dict[str, dict]:
        self.system.until(lambda: set(self.spans(trace)) >= set(names), 30)
        return self.spans(trace)


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    folder = tmp_path_factory.mktemp("traced")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "OTEL_BSP_SCHEDULE_DELAY", "50"
        )  # the SDK's own variable: milliseconds from one export to the next
        with EmbeddedBroker() as broker, system_at(broker.bootstrap_servers, folder) as system:
            yield Traced(system, folder)


def linked(spans: dict[str, dict], *names: str) -> bool:
    """Whether each span is the child of the one before."""
    ids = [spans[name]["context"]["span_id"] for name in names]
    return [spans[name]["parent_id"] for name in names[1:]] == ids[:-1]


def test_one_trace_goes_from_the_emitter_through_the_worker_to_the_replica(traced: Traced):
    with Emitter(traced.settings) as emitter:
        emitter.emit(event("e1", "ann"))
        emitter.emit_item({"item_id": "film", "title": "A film about robbers"})
    trace = traced.trace_of("ann")
    way = ("send interactions", "process interactions", "apply user-profiles")
    spans = traced.awaited(trace, *way, "apply interactions")
    assert linked(spans, *way) and spans[way[0]]["parent_id"] is None
    assert linked(spans, way[0], "apply interactions")  # the slate reflects it from there on
    services = [spans[name]["resource"]["attributes"]["service.name"] for name in way]
    assert services == ["freshet-emitter", "freshet-stream", "freshet-serving"]
    assert [spans[name]["start_time"] for name in way] == sorted(spans[name]["start_time"] for name in way)

    way = ("send items", "process items", "apply item-embeddings")
    spans = traced.awaited(traced.trace_of("film"), *way, "apply items")
    assert linked(spans, *way) and linked(spans, "send items", "apply items")


def test_a_trace_of_the_caller_goes_on_behind_the_http_api(traced: Traced):
    body = [event("e2", "bob"), event("e3", "bob", type="unheard of")]
    assert httpx.post(f"{traced.system.url}/v1/events", json=body, headers={"traceparent": OUTSIDE}).status_code == 200
    way = ("send interactions", "process interactions", "apply user-profiles")
    spans = traced.awaited("0x" + OUTSIDE.split("-")[1], *way)
    assert linked(spans, *way) and spans[way[0]]["parent_id"] == "0x" + OUTSIDE.split("-")[2]


def test_every_event_of_a_batch_goes_on_with_its_own_trace_and_a_refused_one_ends_as_an_error(traced: Traced):
    from kafka import KafkaProducer

    contexts = [f"00-{n:032x}-{n:016x}-01" for n in (1, 2, 3)]
    values = [json.dumps(event("e4", "eve")).encode(), json.dumps(event("e5", "eve")).encode(), b"not JSON"]
    producer = KafkaProducer(**traced.settings.kafka_options(), linger_ms=100)
    for value, context in zip(values, contexts, strict=True):
        producer.send("interactions", value, key=b"eve", headers=[("traceparent", context.encode())])
    producer.close()
    for n in (1, 2):
        traced.awaited(f"0x{n:032x}", "process interactions", "apply user-profiles")
    refused = traced.awaited(f"0x{3:032x}", "process interactions")
    assert refused["process interactions"]["status"]["status_code"] == "ERROR"
    assert "apply user-profiles" not in refused


def test_what_is_no_trace_context_begins_a_trace_and_harms_nothing(traced: Traced):
    answer = httpx.post(f"{traced.system.url}/v1/events", json=event("e6", "kim"), headers={"traceparent": "nonsense"})
    assert answer.json()["accepted"] == 1


def test_a_record_carries_so_many_traces_and_not_more():
    headers = [("other", b"x")] + [("traceparent", str(n).encode()) for n in range(MOST_PARENTS + 5)]
    assert parents_of(headers) == [str(n) for n in range(5, MOST_PARENTS + 5)]
    assert headers_of([]) == []


def test_otlp_goes_to_the_collector_that_the_usual_variable_names(monkeypatch: pytest.MonkeyPatch):
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with HTTPServer(("127.0.0.1", 0), Collector) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        tracer = tracer_of(load_settings(KafkaSettings, traces="otlp"), "freshet-stream")
        tracer.start("process interactions", "consumer", OUTSIDE, "interactions", "ann").end()
        tracer.close()
        server.shutdown()
    ((path, body),) = got
    (told,) = ExportTraceServiceRequest.FromString(body).resource_spans
    (span,) = told.scope_spans[0].spans
    assert path == "/v1/traces" and span.name == "process interactions"
    assert span.trace_id.hex() == OUTSIDE.split("-")[1] and span.parent_span_id.hex() == OUTSIDE.split("-")[2]


def test_a_process_without_traces_has_no_tracer_and_imports_nothing_of_open_telemetry():
    assert tracer_of(load_settings(KafkaSettings), "x") is None
    program = (
        "import sys, tracing, freshet.producer, stream.agents;"
        "sys.exit(any(one.startswith('opentelemetry') for one in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False)
    assert done.returncode == 0


def test_without_the_packages_the_setting_is_refused_with_the_remedy(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "tracing.open_telemetry", raising=False)
    with pytest.raises(ConfigError, match=r"FRESHET_TRACES=otlp: OpenTelemetry is not installed.*freshet\[traces\]"):
        tracer_of(load_settings(KafkaSettings, traces="otlp"), "x")


def test_a_file_that_cannot_be_written_is_refused(tmp_path: Path):
    with pytest.raises(ConfigError, match="FRESHET_TRACES=file:.*No such file"):
        tracer_of(load_settings(KafkaSettings, traces=f"file:{tmp_path}/missing/spans"), "x")

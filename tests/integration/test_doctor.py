"""`freshet doctor` on set-ups that are well, and on ones that are broken in one way each."""

import http.server
import json
import os
import signal
import sys
import threading
from pathlib import Path

import pytest
from kafka import KafkaProducer
from typer.testing import CliRunner

from cli import broker
from cli.broker import HOST, EmbeddedBroker, free_port
from cli.check_machine import check_versions
from cli.main import build
from domain.clock import system_clock
from domain.items import Item
from domain.settings import KafkaSettings
from domain.topics import DEAD_LETTERS, INTERACTIONS
from tests.integration.test_system import click
from tests.system import System

Lines = dict[str, str]


class Doctor:
    """Runs the command with variables set, and gives its lines by check."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.set(FRESHET_PORT=free_port())

    def set(self, **variables: object) -> None:
        for name, value in variables.items():
            self._monkeypatch.setenv(name, str(value))

    def __call__(self, *arguments: str) -> tuple[int, Lines]:
        done = CliRunner().invoke(build(), ["doctor", *arguments])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        *lines, verdict = done.output.splitlines()
        assert (verdict == "Nothing is wrong.") == (done.exit_code == 0)
        told = {line[13:].partition("  ")[0].strip(): line for line in lines}
        assert len(told) == len(lines)  # one line a check
        return done.exit_code, told


@pytest.fixture
def doctor(monkeypatch: pytest.MonkeyPatch) -> Doctor:
    return Doctor(monkeypatch)


@pytest.fixture
def nowhere(doctor: Doctor, monkeypatch: pytest.MonkeyPatch) -> str:
    """An address where no Kafka is, and little patience for it."""
    monkeypatch.setattr("cli.kafka_clients.BOOTSTRAP_TIMEOUT_MS", 300)
    address = f"{HOST}:{free_port()}"
    doctor.set(FRESHET_BOOTSTRAP_SERVERS=address)
    return address


@pytest.fixture
def here(doctor: Doctor, overrides: dict[str, object]) -> Doctor:
    """The doctor of this test's own topics, which need not exist."""
    doctor.set(**{f"FRESHET_{name.upper()}": value for name, value in overrides.items()})
    return doctor


def states(lines: Lines) -> dict[str, str]:
    return {check: line[:12].strip() for check, line in lines.items()}


class TestOnABroker:
    """Both brokers say what it takes."""

    def test_topics_and_nothing_running_is_not_wrong(self, here: Doctor, settings: KafkaSettings) -> None:
        code, told = here()
        assert code == 0, told
        assert f"{settings.bootstrap_servers} answered in " in told["Kafka"]
        assert states(told) == {
            "settings": "ok",
            "Python": "ok",
            "packages": "ok",
            "versions": states(told)["versions"],  # not checked where freshet is run from a checkout
            "text encoder": "ok",
            "Kafka": "ok",
            "topics": "ok",
            "workers": "not checked",
            "dead letters": "ok",
            "replica": "not checked",
            "port": "ok",
        }

    def test_a_worker_and_a_replica_that_run_are_found_with_their_lag(self, here: Doctor, system: System) -> None:
        system.start_worker()
        system.start_replica(search=False)
        system.send_items([Item(item_id="i1", title="One")])
        system.learned(system.send([click("u1", "i1")]))
        system.embedded(1)
        caught_up = (("workers", "; 0 records wait"), ("replica", ": lag 0;"))  # each is looked at once a second
        system.until(lambda: all(says in here("--url", system.url)[1][check] for check, says in caught_up))
        code, told = here("--url", system.url)
        assert code == 0, told
        assert f"1 in group {system.settings.topic('freshet-stream')}" in told["workers"]
        assert f"{system.url}: lag 0; holds 1 items, 1 vectors, 1 profiles" in told["replica"]
        assert "port" not in told

    def test_missing_topics_are_named_with_what_to_run(self, here: Doctor, overrides: dict[str, object]) -> None:
        code, told = here()
        assert code == 1
        assert told["topics"].startswith("wrong") and told["topics"].endswith("do: freshet topics create")
        assert told["topics"].count(" is missing") == 9
        assert "is missing" in told["workers"] and states(told)["dead letters"] == "not checked"

    def test_a_topic_of_another_shape_is_named(self, here: Doctor, settings: KafkaSettings) -> None:
        here.set(FRESHET_PARTITIONS=5)
        code, told = here()
        assert code == 1
        assert "has 4 partitions, not 5; delete it or change FRESHET_PARTITIONS" in told["topics"]
        assert "topics create" not in told["topics"]

    def test_records_that_wait_for_a_worker_are_wrong(self, here: Doctor, system: System) -> None:
        system.send([click("u1", "i1")])
        code, told = here()
        assert code == 1
        assert "1 records wait (interactions 1, users 0, items 0), the oldest for " in told["workers"]
        assert told["workers"].endswith("@0; do: freshet stream")

    def test_dead_letters_are_counted_and_not_wrong(self, here: Doctor, settings: KafkaSettings) -> None:
        producer = KafkaProducer(**settings.kafka_options(), acks="all")
        for _ in range(3):
            producer.send(settings.topic(DEAD_LETTERS), key=b"k", value=b"x").get(10)
        producer.close()
        code, told = here()
        assert code == 0, told
        assert "3 or more are kept; do: freshet dead-letters count" in told["dead letters"]

    def test_too_large_a_share_of_dead_letters_within_the_last_hour_is_wrong(
        self, here: Doctor, settings: KafkaSettings
    ) -> None:
        producer = KafkaProducer(**settings.kafka_options(), acks="all")
        hours_ago = system_clock() - 3 * 3_600_000
        for topic, number in ((INTERACTIONS, 20), (DEAD_LETTERS, 3)):
            for n in range(number):
                timestamp = hours_ago if n == 0 else None
                producer.send(settings.topic(topic), key=b"k", value=b"x", timestamp_ms=timestamp).get(10)
        producer.close()
        code, told = here()
        assert code == 1
        known = ("2, 10.5% of 19 records", "3, 15.0% of 20 records")  # the embedded broker counts older ones as well
        assert any(f"{one}; do: freshet dead-letters count" in told["dead letters"] for one in known)

    def test_a_worker_that_stands_still_while_records_wait_is_wrong(
        self, here: Doctor, system: System, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("cli.check_services.LONG_S", 0.0)
        worker = system.start_worker(session_timeout_s=60)
        system.until(lambda: "1 in group" in here()[1]["workers"])
        os.kill(worker.pid, signal.SIGSTOP)
        system.send([click("u1", "i1")])
        told = here()[1]["workers"]
        worker.kill()
        assert told.startswith("wrong") and "1 records wait" in told and "nothing was committed for 5 s" in told
        assert "see the workers' logs" in told

    def test_a_misspelt_variable_does_not_end_the_other_checks(self, here: Doctor, settings: KafkaSettings) -> None:
        here.set(FRESHET_BOOTSTRAP_SERVER="x:1")
        code, told = here()
        assert code == 1
        assert "FRESHET_BOOTSTRAP_SERVER is not a setting" in told["settings"]
        assert states(told)["topics"] == "ok"


@pytest.mark.usefixtures("nowhere")
class TestWithoutABroker:
    """What needs none."""

    def test_the_address_and_the_remedy_are_named(self, doctor: Doctor, nowhere: str) -> None:
        code, told = doctor()
        assert code == 1
        assert told["Kafka"].startswith("wrong") and nowhere in told["Kafka"]
        assert "FRESHET_BOOTSTRAP_SERVERS" in told["Kafka"] and "`freshet broker`" in told["Kafka"]
        assert states(told)["topics"] == "not checked" and states(told)["port"] == "ok"

    @pytest.mark.parametrize("address", ["", "a:b:c"])
    def test_an_address_that_is_none_is_named(self, doctor: Doctor, address: str) -> None:
        doctor.set(FRESHET_BOOTSTRAP_SERVERS=address)
        assert f"FRESHET_BOOTSTRAP_SERVERS={address!r}: expected HOST:PORT" in doctor()[1]["Kafka"]

    @pytest.mark.parametrize(
        ("name", "value", "says"),
        [
            ("FRESHET_PARTITIONS", "none", "FRESHET_PARTITIONS: Input should be a valid integer"),
            ("FRESHET_PROFILE_SIZE", "0", "FRESHET_PROFILE_SIZE: Input should be greater"),
            ("FRESHET_HOST", "0.0.0.0", "FRESHET_HOST=0.0.0.0 opens the API to the network without keys"),
            ("FRESHET_API_KEYS", '["short"]', "each key needs at least 16 characters"),
            ("FRESHET_SECURITY_PROTOCOL", "SASL_SSL", "needs FRESHET_SASL_USERNAME"),
        ],
    )
    def test_a_bad_setting_is_named_and_the_rest_is_checked(
        self, doctor: Doctor, name: str, value: str, says: str
    ) -> None:
        doctor.set(**{name: value})
        code, told = doctor()
        assert code == 1
        assert told["settings"].startswith("wrong") and says in told["settings"]
        assert "short" not in told["settings"]  # a key is never printed
        assert states(told)["Kafka"] == "wrong" and "replica" in told

    def test_settings_that_are_not_json_leave_the_rest_unchecked(self, doctor: Doctor) -> None:
        doctor.set(FRESHET_API_KEYS="not-json-0123456789")
        code, told = doctor()
        assert (
            code == 1
            and "FRESHET_API_KEYS: not valid JSON" in told["settings"]
            and "not-json" not in "".join(told.values())
        )
        assert states(told)["all the rest"] == "not checked"

    def test_a_text_encoder_that_is_not_there_is_wrong_and_a_name_is_not_checked(
        self, doctor: Doctor, tmp_path: Path
    ) -> None:
        doctor.set(FRESHET_EMBEDDING_MODEL=tmp_path / "none")
        assert "no such folder. Set FRESHET_EMBEDDING_MODEL" in doctor()[1]["text encoder"]
        doctor.set(FRESHET_EMBEDDING_MODEL="some/name")
        assert doctor()[1]["text encoder"].startswith("not checked")

    def test_torch_is_not_imported(self, doctor: Doctor) -> None:
        before = set(sys.modules)
        doctor()
        assert not {"torch", "faust", "transformers"} & (set(sys.modules) - before)

    def test_a_port_that_is_taken_by_something_else_is_wrong(self, doctor: Doctor) -> None:
        with http.server.HTTPServer((HOST, 0), http.server.SimpleHTTPRequestHandler) as other:
            threading.Thread(target=other.serve_forever, daemon=True).start()
            doctor.set(FRESHET_PORT=other.server_port)
            code, told = doctor()
            other.shutdown()
        assert code == 1 and "is not Freshet" in told["replica"]

    def test_an_address_of_another_machine_cannot_be_listened_on(self, doctor: Doctor) -> None:
        doctor.set(FRESHET_HOST="192.0.2.1", FRESHET_API_KEYS=json.dumps(["0123456789abcdef"]))
        code, told = doctor()
        assert code == 1 and "192.0.2.1" in told["port"] and "FRESHET_HOST" in told["port"]

    def test_a_replica_that_was_named_must_run(self, doctor: Doctor) -> None:
        url = f"http://{HOST}:{free_port()}"
        told = doctor("--url", url)[1]
        assert told["replica"].startswith("wrong") and told["replica"].endswith("do: freshet serve")
        assert "port" not in told
        assert "--url http://HOST:PORT" in doctor("--url", "no address")[1]["replica"]


@pytest.mark.usefixtures("nowhere")
@pytest.mark.parametrize(
    ("ready", "stale", "says"),
    [
        (False, False, "still reading the topics"),
        (True, True, "it cannot reach Kafka for 90 s"),
        (True, False, "lag 7"),
    ],
)
def test_what_a_replica_says_of_itself_is_told(doctor: Doctor, ready: bool, stale: bool, says: str) -> None:
    answer = json.dumps(
        {"ready": ready, "stale": stale, "unheard_s": 90.4, "lag_records": 7, "holds": {"items": 1_000}}
    ).encode()

    class Replica(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if ready else 503)
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer((HOST, 0), Replica) as replica:
        threading.Thread(target=replica.serve_forever, daemon=True).start()
        told = doctor("--url", f"http://{HOST}:{replica.server_port}")[1]["replica"]
        replica.shutdown()
    assert says in told and "1,000 items" in told
    assert told.startswith("ok" if ready and not stale else "wrong")


def test_versions_other_than_the_pinned_ones_are_named_with_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    needed = ["numpy==0.1", 'aiokafka==0.14.0; extra == "server"', 'no-such-thing==9; extra == "server"']
    lines = ["Metadata-Version: 2.1", "Name: freshet", "Version: 0.1.0", *(f"Requires-Dist: {one}" for one in needed)]
    lines.append('Requires-Dist: ruff==0.0.1; extra == "dev"')
    folder = tmp_path / "freshet-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    finding = check_versions()
    assert finding.state == "wrong"
    assert finding.remedy == "pip install numpy==0.1 no-such-thing==9"
    assert "no-such-thing==9 is pinned, none is installed" in finding.found
    (folder / "METADATA").write_text("\n".join([*lines[:3], f"Requires-Dist: {needed[1]}"]))
    assert check_versions().state == "ok"


def test_a_broker_that_names_an_address_where_it_is_not_is_told_from_none(
    doctor: Doctor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a Kafka in a container does that has the wrong advertised.listeners."""
    arguments, elsewhere = broker._arguments, f"tcp://{HOST}:{free_port()}"
    monkeypatch.setattr(broker, "_arguments", lambda port: [*arguments(port)[:4], elsewhere, *arguments(port)[5:]])
    with EmbeddedBroker() as wrong:
        doctor.set(FRESHET_BOOTSTRAP_SERVERS=wrong.bootstrap_servers)
        code, told = doctor()
    assert code == 1
    assert f"{wrong.bootstrap_servers} answers, but not under the address" in told["Kafka"]
    assert "advertised.listeners" in told["Kafka"]

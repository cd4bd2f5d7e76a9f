"""Prometheus beside a running worker and replica: every panel and every alert has figures to show."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx
import pytest
import yaml
from kafka import KafkaProducer

from cli.broker import EmbeddedBroker, free_port
from domain.clock import system_clock
from domain.topics import INTERACTIONS
from freshet import Client
from tests.integration.test_system import CATALOGUE, clicks
from tests.prometheus import BINARY, Prometheus, operands
from tests.system import System, system_at

TOP = Path(__file__).parents[2]
RULES = TOP / "deploy/prometheus/alerts.yml"
OPERATIONS = (TOP / "docs/operations.md").read_text()
pytestmark = pytest.mark.skipif(BINARY is None, reason="no prometheus (apt-get install prometheus)")


class Watched(NamedTuple):
    system: System
    worker: str
    prometheus: Prometheus


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("watched")
    with EmbeddedBroker() as broker, system_at(broker.bootstrap_servers, folder) as system:
        worker = f"127.0.0.1:{free_port()}"
        system.start_worker(worker_metrics_port=worker.split(":")[1])
        system.send_items(CATALOGUE)
        system.start_replica(live_meter_share=1, live_meter_per_second=100)
        system.embedded(len(CATALOGUE))
        targets = {"freshet-stream": worker, "freshet-serving": system.url.removeprefix("http://")}
        with Prometheus(folder, targets, RULES) as prometheus:
            system.until(lambda: len(prometheus.asked("up == 1")) == 2)
            yield Watched(system, worker, prometheus)


def live(system: System, moment: int) -> None:
    """A moment's traffic, of every kind that there is."""
    user = f"user-{moment % 8}"
    with Client(system.url) as client:
        (event,) = clicks(moment, 1, system_clock())
        token = client.send_events([event])[0].token
        shown = client.recommend(event.user_id, count=5, after=token, wait_ms=2000, scenario="home").items
        choice = {"event_id": f"c{moment}", "type": "click", "user_id": event.user_id, "item_id": shown[0].item_id}
        client.send_events([{**choice, "event_time": system_clock()}, {**choice, "type": "unheard of"}])
        client.send_items([{"item_id": f"new-{moment}", "title": f"Another film about {moment} robbers"}])
        client.recommend(f"stranger to {user}")
    httpx.get(f"{system.url}/v1/search", params={"q": "robbers"})


def dead_letter(system: System) -> None:
    producer = KafkaProducer(**system.settings.kafka_options())
    producer.send(system.settings.topic(INTERACTIONS), b"not JSON", key=b"u")
    producer.close()


def expressions() -> dict[str, str]:
    """Every expression of the dashboards and, without its comparison, of the alerts, by where it stands."""
    found = {}
    for file in sorted((TOP / "deploy/grafana/dashboards").iterdir()):
        for panel in json.loads(file.read_text())["panels"]:
            for target in panel.get("targets", []):
                found[f"{file.stem}: {panel['title']} {target['refId']}"] = target["expr"]
    for rule in yaml.safe_load(RULES.read_text())["groups"][0]["rules"]:
        for at, side in enumerate(operands(rule["expr"])):
            found[f"{rule['alert']} {at}"] = side
    return found


def test_every_panel_and_every_alert_has_figures(watched: Watched):
    system, _, prometheus = watched
    missing = expressions()
    assert len(missing) > 100
    dead_letter(system)
    moment = 0

    def all_found() -> bool:
        nonlocal moment, missing
        moment += 1
        live(system, moment)
        missing = {where: expr for where, expr in missing.items() if not prometheus.has_figures(expr)}
        return not missing

    try:
        system.until(all_found, 60)
    except AssertionError as error:
        raise AssertionError(f"no figures: {missing}") from error


def test_prometheus_evaluates_every_alert_and_none_fires_here(watched: Watched):
    rules = yaml.safe_load(RULES.read_text())["groups"][0]["rules"]
    watched.system.until(lambda: watched.prometheus.alerts() == {one["alert"]: "" for one in rules}, 20)
    assert watched.prometheus.asked('ALERTS{alertstate="firing"}') == []


def test_the_documented_metrics_are_those_of_the_running_processes(watched: Watched):
    for name, url in (("stream", f"http://{watched.worker}"), ("serving", watched.system.url)):
        _, _, rest = OPERATIONS.partition(f"<!-- metrics {name} -->")
        documented = re.findall(r"^\| `(\w+)", rest.partition("<!-- /metrics -->")[0], re.MULTILINE)
        shown = re.findall(r"^# HELP (freshet_\w+)", httpx.get(f"{url}/metrics").text, re.MULTILINE)
        shown = [one for one in shown if not one.endswith("_created")]
        assert sorted(documented) == sorted(shown)


def test_what_happened_is_what_is_counted(watched: Watched):
    system, prometheus = watched.system, watched.prometheus
    dead_letter(system)
    with Client(system.url) as client:
        shown = client.recommend("counted", count=4, scenario="counting").items
        event = {"event_id": "counted", "type": "like", "user_id": "counted", "item_id": shown[1].item_id}
        token = client.send_events([{**event, "event_time": system_clock()}])[0].token
        assert client.recommend("counted", after=token, wait_ms=2000, scenario="counted after").fresh
    wanted = {
        'sum(freshet_items_shown_total{scenario="counting"})': 4,
        'sum(freshet_items_chosen_total{scenario="counting"})': 1,
        'freshet_intake_records_total{topic="interactions", type="like", outcome="accepted"} >= bool 1': 1,
        'sum(freshet_stream_dead_letters_total{reason="malformed"}) >= bool 1': 1,
        "max(freshet_stream_lag_records)": 0,
        "max(freshet_replica_lag_seconds) < bool 5": 1,
        "freshet_index_recall_at_50": 1,
        'count(freshet_model_info{name="text"})': 1,
        "freshet_stream_items_waiting": 0,
        "freshet_index_vectors - on () group_left () freshet_replica_held{what='vectors'}": 0,
    }
    system.until(lambda: all(prometheus.asked(one) == [value] for one, value in wanted.items()), 30)

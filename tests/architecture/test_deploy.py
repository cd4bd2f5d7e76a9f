"""What deploy/ and docker-compose.yml claim must be true of the code. Nothing is started here."""

import importlib
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import prometheus_client
import pytest
import yaml
from fastapi.routing import APIRoute
from prometheus_client.metrics import MetricWrapperBase
from typer.main import get_command

from cli.main import build
from domain.settings import PREFIX, SETTINGS, KafkaSettings, ServingSettings, StreamSettings, load_settings
from serving import metrics as serving_metrics
from serving.routes import operations
from stream import metrics as stream_metrics

TOP = Path(__file__).parents[2]
PROMETHEUS = TOP / "deploy/prometheus"
MANIFESTS = [TOP / "deploy/kubernetes" / name for name in ("topics.yaml", "stream.yaml", "serving.yaml")]
OPERATIONS = (TOP / "docs/operations.md").read_text()
GRAFANA = TOP / "deploy/grafana"
DASHBOARDS = {file.stem: json.loads(file.read_text()) for file in sorted((GRAFANA / "dashboards").iterdir())}
DEPLOYED = [
    TOP / "docker-compose.yml",
    *sorted(one for one in (TOP / "deploy").rglob("*") if one.is_file() and one.suffix != ".pyc"),
]
KEYS = '["0123456789abcdef"]'
OUR_OWN = ("topics", "stream", "serving")


def compose() -> dict[str, Any]:
    """docker-compose.yml as it is with nothing but the required keys set."""
    text = (TOP / "docker-compose.yml").read_text()
    text = re.sub(r"\$\{FRESHET_API_KEYS:\?[^}]*\}", KEYS, text)
    return yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))


def documents() -> Iterator[dict[str, Any]]:
    for file in MANIFESTS:
        yield from yaml.safe_load_all(file.read_text())


def pods() -> list[dict[str, Any]]:
    return [one["spec"]["template"]["spec"] for one in documents() if one["kind"] != "Service"]


def rules() -> list[dict[str, Any]]:
    return yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"][0]["rules"]


def samples(metric: MetricWrapperBase) -> set[str]:
    """The names under which Prometheus sees a metric."""
    (family,) = metric.describe()
    endings = {"counter": ["_total"], "histogram": ["_bucket", "_sum", "_count"], "gauge": [""]}
    return {family.name + ending for ending in endings[family.type]}


def labels_of_metrics() -> dict[str, set[str]]:
    """Each name that Prometheus sees, with its labels."""
    ours = [*vars(serving_metrics).values(), *vars(stream_metrics).values()]
    found = {
        name: {*one._labelnames, "job", "instance"} | ({"le"} if name.endswith("_bucket") else set())
        for one in ours
        if is_parent(one)
        for name in samples(one)
    }
    process = {one.name for family in prometheus_client.PROCESS_COLLECTOR.collect() for one in family.samples}
    return found | {name: {"job", "instance"} for name in {"up", *process}}


def names_in(expression: str) -> set[str]:
    """The metrics that a PromQL expression reads."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]", " ", expression)
    bare = re.sub(r"\b(by|on|group_left)\s*\([^)]*\)", " ", bare)
    return set(re.findall(r"\b[a-z_][\w]*\b(?!\s*\()", bare)) - {"and", "or"}


def labels_in(expression: str) -> set[str]:
    """The labels that a PromQL expression selects or groups by."""
    grouped = " ".join(re.findall(r"\b(?:by|on|group_left)\s*\(([^)]*)\)", expression))
    return {*re.findall(r'(\w+)\s*[=!]~?=?"', expression), *re.findall(r"\w+", grouped)}


EXPRESSIONS = [pytest.param(one["expr"], "", id=one["alert"]) for one in rules()] + [
    pytest.param(target["expr"], target.get("legendFormat", ""), id=f"{name} {panel['title']} {target['refId']}")
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    for target in panel.get("targets", [])
]


def test_compose_names_exactly_the_services() -> None:
    assert set(compose()["services"]) == {"kafka", "topics", "stream", "serving", "prometheus", "grafana"}


def test_a_worker_that_ends_itself_is_started_again() -> None:
    assert compose()["services"]["stream"]["restart"] == "unless-stopped"
    (worker,) = (one for one in pods() if one["containers"][0]["name"] == "stream")
    assert worker.get("restartPolicy", "Always") == "Always"
    assert worker["containers"][0]["livenessProbe"]["httpGet"] == {"path": "/metrics", "port": "metrics"}


def test_nothing_is_published_beyond_loopback() -> None:
    services = compose()["services"]
    published = [port for one in services.values() for port in one.get("ports", [])]
    assert len(published) == 4
    assert all(port.startswith("127.0.0.1:") for port in published), published
    assert not any("network_mode" in one for one in services.values())


@pytest.mark.parametrize("name", compose()["services"])
def test_a_container_has_no_privileges_a_pinned_image_and_bounded_logs(name: str) -> None:
    service = compose()["services"][name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"privileged", "cap_add", "devices", "pid"} & set(service)
    assert re.fullmatch(r"freshet:local|[\w/]+:v?\d+\.\d+\.\d+", service["image"])
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("file", DEPLOYED, ids=[file.name for file in DEPLOYED])
def test_every_variable_is_a_setting(file: Path) -> None:
    known = {PREFIX + name.upper() for one in SETTINGS for name in one.model_fields}
    assert set(re.findall(r"FRESHET_[A-Z][A-Z_]*", file.read_text())) <= known


@pytest.mark.parametrize(
    ("service", "kind"), [("topics", KafkaSettings), ("stream", StreamSettings), ("serving", ServingSettings)]
)
def test_the_settings_of_a_service_are_valid(
    service: str, kind: type[KafkaSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in compose()["services"][service]["environment"].items():
        monkeypatch.setenv(name, str(value))
    settings = load_settings(kind)
    assert settings.bootstrap_servers == "kafka:19092"
    if isinstance(settings, ServingSettings):
        settings.refuse_unsafe()


def test_the_commands_exist() -> None:
    used = {tuple(compose()["services"][name]["command"]) for name in OUR_OWN}
    used |= {tuple(pod["containers"][0]["args"]) for pod in pods()}
    told = re.findall(r"`freshet ([a-z-]+(?: [a-z]+)?)`", OPERATIONS)
    used |= {tuple(words.split()) for words in told}
    assert {("stream",), ("serve",), ("topics", "create")} <= used
    for words in used:
        command: Any = get_command(build())
        for word in words:
            assert word in command.commands, f"freshet {' '.join(words)}"
            command = command.commands[word]


def test_the_image_gets_every_package() -> None:
    packages = tomllib.loads((TOP / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    admitted = {line[1:] for line in (TOP / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    assert {one.split(".")[0] for one in packages} | {"pyproject.toml", "README.md"} <= admitted


@pytest.mark.parametrize("pod", pods(), ids=[file.stem for file in MANIFESTS])
def test_a_pod_is_locked_down_and_free_of_service_links(pod: dict[str, Any]) -> None:
    (container,) = pod["containers"]
    assert pod["enableServiceLinks"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}


def test_the_kustomization_has_all_manifests_but_the_example_secret() -> None:
    text = (TOP / "deploy/kubernetes/kustomization.yaml").read_text()
    assert set(yaml.safe_load(text)["resources"]) == {file.name for file in MANIFESTS}


def test_the_probed_paths_exist() -> None:
    (serving,) = [one for pod in pods() for one in pod["containers"] if one["name"] == "serving"]
    probes = ("startupProbe", "livenessProbe", "readinessProbe")
    probed = {serving[probe]["httpGet"]["path"] for probe in probes}
    assert probed == {"/health/live", "/health/ready"}
    assert probed | {"/metrics"} <= {route.path for route in operations.router.routes if isinstance(route, APIRoute)}


@pytest.mark.parametrize(("expression", "legend"), EXPRESSIONS)
def test_an_expression_reads_metrics_and_labels_that_the_code_has(expression: str, legend: str) -> None:
    known = labels_of_metrics()
    used = names_in(expression)
    assert used
    assert used <= set(known)
    labels = set().union(*(known[name] for name in used))
    assert labels_in(expression) | set(re.findall(r"\{\{(\w+)\}\}", legend)) <= labels


@pytest.mark.parametrize(("name", "module"), [("stream", stream_metrics), ("serving", serving_metrics)])
def test_the_table_of_metrics_is_what_the_code_says(name: str, module: ModuleType) -> None:
    _, _, rest = OPERATIONS.partition(f"<!-- metrics {name} -->\n")
    told = rest.partition("\n<!-- /metrics -->")[0].splitlines()
    assert told[2:] == sorted(row_of(one) for one in vars(module).values() if is_parent(one))


def is_parent(one: object) -> bool:
    """Whether it is a metric, and not one of its children with labels."""
    return isinstance(one, MetricWrapperBase) and not one._labelvalues


def row_of(metric: MetricWrapperBase) -> str:
    (family,) = metric.describe()
    name = family.name + ("_total" if family.type == "counter" else "")
    labels = f"{{{', '.join(metric._labelnames)}}}" if metric._labelnames else ""
    return f"| `{name}{labels}` | {family.type} | {family.documentation} |"


def test_there_are_four_dashboards_and_they_ask_the_provisioned_data_source() -> None:
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())
    assert set(DASHBOARDS) == {"overview", "stream", "serving", "quality"}
    for dashboard in DASHBOARDS.values():
        asked = {panel["datasource"]["uid"] for panel in dashboard["panels"] if "targets" in panel}
        assert asked == {one["uid"] for one in provisioned["datasources"]}
    home = compose()["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert (GRAFANA / "dashboards" / Path(home).name).exists()


def test_the_dashboards_are_as_their_script_writes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(GRAFANA))
    script = importlib.import_module("make_dashboards")
    assert {name: script.dashboard(name) for name in script.DASHBOARDS} == {
        file.stem: file.read_text() for file in (GRAFANA / "dashboards").iterdir()
    }


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_panels_of_a_dashboard_lie_side_by_side(name: str) -> None:
    panels = DASHBOARDS[name]["panels"]
    squares = [
        (x, y)
        for at in (one["gridPos"] for one in panels)
        for x in range(at["x"], at["x"] + at["w"])
        for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(set(squares)) == len(squares) and max(x for x, _ in squares) == 23
    assert [one["id"] for one in panels] == list(range(1, len(panels) + 1))
    assert len({one["title"] for one in panels}) == len(panels)


@pytest.mark.parametrize("rule", rules(), ids=[one["alert"] for one in rules()])
def test_an_alert_has_its_paragraph(rule: dict[str, Any]) -> None:
    assert rule["annotations"]["runbook"] == f"docs/operations.md#{rule['alert'].lower()}"
    assert f"\n### {rule['alert']}\n" in OPERATIONS


@pytest.mark.parametrize(
    "arguments",
    [
        ("check", "rules", str(PROMETHEUS / "alerts.yml")),
        ("check", "config", "--syntax-only", str(PROMETHEUS / "prometheus.yml")),
        ("test", "rules", str(TOP / "tests/architecture/alerts_test.yml")),
    ],
    ids=["rules", "config", "alerts fire"],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("no promtool (apt-get install prometheus)")
    done = subprocess.run([promtool, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

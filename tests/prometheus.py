"""A real Prometheus for a test: Debian's, on loopback, scraping once a second."""

import math
import re
import shutil
import time
from collections.abc import Mapping
from pathlib import Path

import httpx
import yaml

from cli.broker import HOST, free_port
from cli.children import Child

BINARY = shutil.which("prometheus")
WINDOW = "20s"
"""What stands in for Grafana's $__rate_interval."""


class Prometheus:
    """One server; a context manager that ends it."""

    def __init__(self, folder: Path, targets: Mapping[str, str], rules: Path) -> None:
        """Starts it.

        Args:
            folder: where its configuration, data and output go.
            targets: job and address of what it scrapes.
            rules: a file of alerts.
        """
        port = free_port()
        config = folder / "prometheus.yml"
        jobs = [{"job_name": job, "static_configs": [{"targets": [where]}]} for job, where in targets.items()]
        every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config.write_text(yaml.safe_dump({"global": every, "rule_files": [str(rules)], "scrape_configs": jobs}))
        options = {"config.file": config, "storage.tsdb.path": folder / "data", "web.listen-address": f"{HOST}:{port}"}
        command = [BINARY or "", *[f"--{name}={value}" for name, value in options.items()]]
        self._http = httpx.Client(base_url=f"http://{HOST}:{port}")
        self.child = Child("prometheus", command, folder / "prometheus.log")

    def __enter__(self) -> "Prometheus":
        deadline = time.monotonic() + 30
        try:
            while not self._is_ready():
                self.child.check()
                assert time.monotonic() < deadline, self.child.last_words()
                time.sleep(0.05)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()
        self.child.stop()

    def _is_ready(self) -> bool:
        try:
            return self._http.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    def asked(self, expression: str) -> list[float]:
        """The values that an expression has now; empty where there is no data."""
        query = {"query": expression.replace("$__rate_interval", WINDOW)}
        told = self._http.get("/api/v1/query", params=query).json()
        assert told["status"] == "success", f"{expression}: {told}"
        return [float(one["value"][1]) for one in told["data"]["result"]]

    def has_figures(self, expression: str) -> bool:
        """Whether an expression has a value that is a number."""
        return any(map(math.isfinite, self.asked(expression)))

    def alerts(self) -> dict[str, str]:
        """The name of each alert that it evaluates, and the error where it cannot."""
        groups = self._http.get("/api/v1/rules").json()["data"]["groups"]
        return {one["name"]: one.get("lastError", "") for group in groups for one in group["rules"]}


def operands(expression: str) -> list[str]:
    """What an alert compares: its expression without comparisons, numbers and what asks whether nothing is there."""
    sides = re.split(r"\s+(?:and|or)\s+(?:on \(\w+\)\s+)?|\s+(?:==|!=|<|>)\s+", expression.strip())
    return [side for side in sides if not re.fullmatch(r"[\d.]+|absent\(.*\)", side)]

"""How every bench reports: figures beside a peer's, the machine that they were taken on, and the command."""

import json
import math
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
FLAGS = ("avx2", "avx512f", "avx512_bf16", "avx512_vnni", "amx_bf16", "amx_int8", "bf16", "asimd")
"""CPU features that move the figures; those that the machine has are written down."""


@dataclass(frozen=True)
class Figure:
    """One measured number, and the same measure of something to compare it with."""

    name: str
    value: float
    unit: str
    beside_name: str | None = None
    beside_value: float | None = None

    @property
    def ratio(self) -> float | None:
        """The value as a multiple of the one beside it; None without one."""
        return self.value / self.beside_value if self.beside_value else None


def report(name: str, figures: list[Figure], command: str) -> None:
    """Prints the figures as a table and writes results/NAME.json."""
    print(table(figures))
    content = {"figures": [_entry(figure) for figure in figures], "machine": machine(), "command": command}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def results() -> dict[str, list[Figure]]:
    """Reads the figures of every bench that has written its file, by the bench's name."""
    return {
        path.stem: [_figure(entry) for entry in json.loads(path.read_text())["figures"]]
        for path in sorted(RESULTS.glob("*.json"))
    }


def percentile(values: Sequence[float], share: float) -> float:
    """Returns the smallest value that `share` of all values do not exceed (nearest rank).

    Raises:
        ValueError: there are no values.
    """
    if not values:
        raise ValueError("a percentile of nothing")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """Returns the figures as text: numbers to the right, each beside its peer's."""
    rows = [("figure", "value", "unit", "beside", "value", "ratio")]
    for one in figures:
        beside = (one.beside_name or "", _number(one.beside_value), _number(one.ratio))
        rows.append((one.name, _number(one.value), one.unit, *beside))
    widths = [max(len(row[column]) for row in rows) for column in range(6)]
    right = (False, True, False, False, True, True)
    lines = []
    for row in rows:
        cells = [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(row, widths, right, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def machine() -> dict[str, object]:
    """What the figures depend on: CPU, cores that this process may use, memory in GiB, Python, CPU features."""
    cpu = _proc("/proc/cpuinfo")
    flags = set(cpu.get("flags", cpu.get("Features", "")).split())
    return {
        "cpu": cpu.get("model name", platform.processor() or platform.machine()),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "flags": [flag for flag in FLAGS if flag in flags],
    }


def _entry(figure: Figure) -> dict[str, object]:
    beside = {"name": figure.beside_name, "value": figure.beside_value} if figure.beside_name else None
    return {
        "name": figure.name,
        "value": float(f"{figure.value:.6g}"),
        "unit": figure.unit,
        "beside": beside,
        "ratio": figure.ratio,
    }


def _figure(entry: dict[str, Any]) -> Figure:
    beside = entry["beside"] or {"name": None, "value": None}
    return Figure(entry["name"], entry["value"], entry["unit"], beside["name"], beside["value"])


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.4g}"


def _proc(path: str) -> dict[str, str]:
    """The first value of each key of a /proc file; empty where there is no such file."""
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in reversed(lines) if ":" in line)
    return {key.strip(): value.strip() for key, _, value in pairs}

"""What the panels of all dashboards have in common: units, data source, legends, and the PromQL that comes again."""

from collections.abc import Sequence
from typing import Any

SOURCE = {"type": "prometheus", "uid": "prometheus"}
RATE = "[$__rate_interval]"
Panel = dict[str, Any]
Row = tuple[str, Sequence[Panel]]


def panel(kind: str, title: str, unit: str, *expressions: tuple[str, str], about: str = "") -> Panel:
    """Returns a panel without its place; `expressions` are pairs of PromQL and legend."""
    custom = {} if kind == "stat" else {"custom": {"fillOpacity": 8, "showPoints": "never"}}
    targets = [
        {"refId": chr(ord("A") + at), "expr": expr, **({"legendFormat": legend} if legend else {})}
        for at, (expr, legend) in enumerate(expressions)
    ]
    return {
        "type": kind,
        "title": title,
        **({"description": about} if about else {}),
        "datasource": SOURCE,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0, **custom}, "overrides": []},
        "targets": targets,
    }


def lines(title: str, unit: str, *expressions: tuple[str, str], about: str = "") -> Panel:
    """A panel with a line for each series."""
    return panel("timeseries", title, unit, *expressions, about=about)


def number(title: str, unit: str, expr: str, steps: Sequence[tuple[float | None, str]], about: str = "") -> Panel:
    """A panel with one number; `steps` are thresholds and the colours from there on."""
    made = panel("stat", title, unit, (expr, ""), about=about)
    thresholds = {"mode": "absolute", "steps": [{"value": value, "color": colour} for value, colour in steps]}
    made["fieldConfig"]["defaults"]["thresholds"] = thresholds
    return made


def quantile(share: float, metric: str, by: str = "", window: str = RATE, where: str = "") -> str:
    """PromQL: a quantile of a histogram, over all processes, apart for each value of the label `by`."""
    labels = f"{by}, le" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket{where}{window})))"


def quantiles(metric: str, by: str = "", shares: Sequence[float] = (0.5, 0.99)) -> list[tuple[str, str]]:
    """The lines of some quantiles of a histogram."""
    legend = f" {{{{{by}}}}}" if by else ""
    return [(quantile(share, metric, by), f"p{share * 100:g}{legend}") for share in shares]


def rates(counter: str, *by: str) -> tuple[str, str]:
    """The lines of a counter's rate, apart for each value of the labels `by`."""
    grouped = f" by ({', '.join(by)})" if by else ""
    return f"sum{grouped} (rate({counter}{RATE}))", " ".join(f"{{{{{one}}}}}" for one in by) or "a second"


def per_slate(counter: str, label: str) -> tuple[str, str]:
    """The lines of a counter for each slate."""
    slates = f"sum(rate(freshet_slates_total{RATE}))"
    return f"sum by ({label}) (rate({counter}{RATE})) / on () group_left () {slates}", f"{{{{{label}}}}}"


def mean(metric: str, by: str = "") -> str:
    """PromQL: the mean of a histogram."""
    over = f"sum by ({by})" if by else "sum"
    return f"{over} (rate({metric}_sum{RATE})) / {over} (rate({metric}_count{RATE}))"

"""What a backtest found, as a table for people and as JSON."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from cli.judging.cases import METRICS, AmongNew, Cases
from cli.judging.judge import Judge
from learning.intervals import difference, interval

DECIDING = "ndcg@10"
"""The metric whose interval is shown and that configurations are compared by."""


def as_json(found: Mapping[str, Judge]) -> dict[str, Any]:
    """Returns for each configuration and slice the metrics, `n`, and `low` and `high` of the deciding one."""
    told = {}
    for name, judge in found.items():
        slices = {part: _slice(judge.cases, mask) for part, mask in judge.cases.slices().items() if mask.any()}
        spread = judge.cases.spread(judge.touches_by_row(), len(judge.world.model.catalogue))
        told[name] = {"slices": slices, "slates": spread, "costs": costs(judge.cases), "against": {}}
    first = next(iter(found.values()))
    for name, judge in list(found.items())[1:]:
        told[name]["against"] = {next(iter(found)): _compared(judge.cases, first.cases)}
    return {"metric": DECIDING, "configurations": told}


def costs(cases: Cases) -> dict[str, float]:
    """Returns what the backtest and its parts cost."""
    asked = max(1, len(cases.case))
    told = {f"{part} s": round(seconds, 2) for part, seconds in cases.seconds.items()}
    told["events a second"] = round(cases.replayed / max(sum(cases.seconds.values()) + sum(cases.trainings), 1e-9), 1)
    told["trainings"] = len(cases.trainings)
    told["training s"] = round(sum(cases.trainings), 1)
    told["judged"] = asked
    return told


def table(told: dict[str, Any]) -> Iterator[str]:
    """Returns the lines of the table: for each configuration its slices, then how it stands against the first."""
    width = max(len(part) for one in told["configurations"].values() for part in one["slices"])
    for name, one in told["configurations"].items():
        yield f"{name}:"
        yield f"  {'':{width}} {'n':>7}  " + "  ".join(f"{metric:>9}" for metric in METRICS) + f"  {DECIDING} 95 %"
        for part, row in one["slices"].items():
            values = "  ".join(f"{row[metric]:9.4f}" for metric in METRICS)
            yield f"  {part:{width}} {row['n']:7,}  {values}  {row['low']:.4f} .. {row['high']:.4f}"
            if "auc_among_new" in row:
                yield _among_new(row)
        yield "  slates: " + ", ".join(f"{what} {value:.4g}" for what, value in one["slates"].items())
        yield "  costs: " + ", ".join(f"{what} {value:,g}" for what, value in one["costs"].items())
        for other, against in one["against"].items():
            yield (
                f"  {DECIDING} against {other}: {against['difference']:+.4f}"
                f" ({against['low']:+.4f} .. {against['high']:+.4f}, p {against['p']:.3f}, n {against['n']:,})"
            )


def _among_new(row: dict[str, Any]) -> str:
    return (
        f"    among new items alone: auc {row['auc_among_new']:.4f}"
        f" ({row['auc_among_new_low']:.4f} .. {row['auc_among_new_high']:.4f}; by chance .5000),"
        f" hit@10 {row['hit_among_new']:.4f} (by chance {row['chance_among_new']:.4f})"
    )


def _slice(cases: Cases, mask: Any) -> dict[str, Any]:  # noqa: ANN401 - (E,) bool
    users = np.array(cases.user)[mask]
    means = {metric: float(cases.column(metric)[mask].mean()) for metric in METRICS}
    bounds = interval(cases.column(DECIDING)[mask], users)
    new = np.array(cases.among_new)[mask]
    if np.isfinite(new).all():  # the slice of new items
        means |= {
            f"{name}_among_new": float(column.mean()) for name, column in zip(AmongNew._fields, new.T, strict=True)
        }
        sure = interval(new[:, 0], users)
        means |= {"auc_among_new_low": sure.low, "auc_among_new_high": sure.high}
    return means | {"n": int(mask.sum()), "low": bounds.low, "high": bounds.high}


def _compared(ours: Cases, theirs: Cases) -> dict[str, Any]:
    """The paired difference over the cases that both judged."""
    common, at, other = np.intersect1d(ours.case, theirs.case, return_indices=True)
    found = difference(ours.column(DECIDING)[at], theirs.column(DECIDING)[other], np.array(ours.user)[at])
    return {"difference": found.mean, "low": found.low, "high": found.high, "p": found.p, "n": len(common)}

"""How good the recommendations are, beside other recommenders on the same events: `make bench-quality`.

Ours come from the backtest, which runs the code that serves; the peers' from bench/quality_peers in an
environment of its own. Both rank the same events of MovieLens 100k over all items that the user had not touched,
so the difference to the best peer is paired. Peers know nothing of items without a history, so how we rank these
(protocol new-items) stands beside chance.
"""

import argparse
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from prometheus_client import REGISTRY

from bench.report import RESULTS, Figure, report
from cli import data
from cli.judging.cases import Cases
from cli.judging.judge import Judge
from cli.judging.report import table
from cli.judging.run import judge_all
from domain.settings import ServingSettings, load_settings
from learning.intervals import difference
from learning.metrics import hit, ndcg

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".venv-peers" / "bin" / "python"
FOLDER = ROOT / "data" / "movielens-100k"
NEW = 5
"""A user with fewer events behind them counts as new."""


def main() -> None:
    """Runs the protocols, prints a table for each, and writes results/quality.json."""
    given = _arguments()
    if not (given.folder / "interactions.jsonl").exists():
        data.movielens_100k(given.folder)
    configuration = {"default": load_settings(ServingSettings)}
    found: dict[str, Cases] = {}
    peers: dict[str, dict[str, Any]] = {}
    for protocol in ("prequential", "last-one"):
        peers[protocol] = _peers(given.folder, protocol, given.last)
        told, judged = judge_all(given.folder, protocol, configuration, given.last, given.warm_up, given.retrain_every)
        found[protocol] = judged["default"].cases
        _table(protocol, told["configurations"]["default"], peers[protocol], found[protocol])
        if protocol == "prequential":
            _costs(judged["default"])
    told, _ = judge_all(given.folder, "new-items", configuration, given.last, given.warm_up, given.retrain_every)
    print("\nnew-items, a tenth of the items kept new\n" + "\n".join(table(told)))
    new = told["configurations"]["default"]["slices"]["new items"]
    report("quality", [*_figures(found, peers), *_of_new(new)], "make bench-quality")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER, help="items.jsonl and interactions.jsonl")
    parser.add_argument("--last", type=int, default=20_000, help="newest events that are judged")
    parser.add_argument("--warm-up", type=int, default=20_000, help="events before them that the ranker learns from")
    parser.add_argument(
        "--retrain-every", type=int, default=1_500, help="events between trainings of the sequence model"
    )
    return parser.parse_args()


def _peers(folder: Path, protocol: str, last: int) -> dict[str, Any]:
    """Runs the peers, or reads what they reached on the same data before: figures and ranks by name."""
    out = RESULTS / "peers"
    command = [str(PEERS), "-m", "bench.quality_peers", str(folder), "--protocol", protocol]
    subprocess.run([*command, "--last", str(last), "--out", str(out)], cwd=ROOT, check=True)
    figures = json.loads((out / f"{protocol}.json").read_text())["peers"]
    return {name: told | {"ranks": _ranks(out / f"{protocol}-{name}.npz")} for name, told in figures.items()}


def _ranks(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path) as held:
        return {name: held[name] for name in ("event", "rank", "past")}


def _table(protocol: str, ours: dict[str, Any], peers: Mapping[str, Any], cases: Cases) -> None:
    print(f"\n{protocol}, every interaction a positive, all unseen items ranked")
    names = ("hit@10", "hit@20", "mrr", "ndcg@10")
    print(f"{'':28}" + "".join(f"{name:>9}" for name in names) + f"{'new users hit@10':>18}{'seconds':>9}")
    slices = ours["slices"]
    new = slices.get("<5 past events", {}).get("hit@10", float("nan"))
    seconds = sum(cases.seconds.values()) + sum(cases.trainings)
    rows = {"freshet": [slices["all"][name] for name in names] + [new, seconds]}
    for name, told in sorted(peers.items(), key=lambda pair: -pair[1]["ndcg@10"]):
        rows[name] = [told[one] for one in names] + [told["new_hit@10"], told["seconds"]]
    for name, values in rows.items():
        print(f"{name:28}" + "".join(f"{value:9.4f}" for value in values[:4]) + f"{values[4]:18.4f}{values[5]:9.0f}")
    for part, row in slices.items():
        print(f"  {part:26}" + "".join(f"{row[name]:9.4f}" for name in names) + f"  n {row['n']:,}")
    best = max(peers, key=lambda name: peers[name]["ndcg@10"])
    against = _paired(cases, peers[best]["ranks"])
    print(f"ndcg@10 against {best}: {against.mean:+.4f} ({against.low:+.4f} .. {against.high:+.4f}), p {against.p:.3f}")


def _paired(cases: Cases, theirs: Mapping[str, NDArray[Any]]) -> Any:  # noqa: ANN401 - learning.intervals.Difference
    common, ours, other = np.intersect1d(cases.case, theirs["event"], return_indices=True)
    if len(common) < 0.99 * len(cases.case):
        raise SystemExit(f"only {len(common):,} of {len(cases.case):,} events are the same as the peers'")
    values = ndcg(np.array(cases.ranks)[ours], 10), ndcg(theirs["rank"][other], 10)
    return difference(values[0], values[1], np.array(cases.user)[ours])


def _costs(judged: Judge) -> None:
    """Prints what the backtest took, and what each stage adds to one answer."""
    for what, value in judged.cases.seconds.items():
        print(f"  {what}: {value:.1f} s")
    print(f"  trainings of the sequence model: {', '.join(f'{one:.0f}' for one in judged.cases.trainings)} s")
    for metric, label in (("freshet_source_seconds", "source"), ("freshet_stage_seconds", "stage")):
        for family in REGISTRY.collect():
            if family.name != metric:
                continue
            sums = {one.labels[label]: one.value for one in family.samples if one.name.endswith("_sum")}
            counts = {one.labels[label]: one.value for one in family.samples if one.name.endswith("_count")}
            for name, total in sums.items():
                print(f"  {label} {name}: {total / max(counts[name], 1) * 1000:.2f} ms an answer")


def _figures(found: Mapping[str, Cases], peers: Mapping[str, Mapping[str, Any]]) -> list[Figure]:
    told = found["prequential"]
    ranks, new = np.array(told.ranks), np.array(told.history) < NEW
    ours = {
        "prequential_ndcg_at_10": ("prequential", "ndcg@10", float(ndcg(ranks, 10).mean())),
        "prequential_hit_at_10": ("prequential", "hit@10", float(hit(ranks, 10).mean())),
        "prequential_new_users_hit_at_10": ("prequential", "new_hit@10", float(hit(ranks[new], 10).mean())),
        "last_one_recall_at_10": ("last-one", "hit@10", float(hit(np.array(found["last-one"].ranks), 10).mean())),
    }
    figures = []
    for name, (protocol, metric, value) in ours.items():
        best = max(peers[protocol], key=lambda one: peers[protocol][one][metric])  # noqa: B023
        figures.append(Figure(name, value, "", best, peers[protocol][best][metric]))
    return figures


def _of_new(told: Mapping[str, float]) -> list[Figure]:
    return [
        Figure("new_items_auc_among_new", told["auc_among_new"], "", "chance", 0.5),
        Figure("new_items_hit_at_10_among_new", told["hit_among_new"], "", "chance", told["chance_among_new"]),
        Figure("new_items_auc_among_all", told["auc"], "", "chance", 0.5),
    ]


if __name__ == "__main__":
    main()

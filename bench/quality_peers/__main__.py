"""The command line: runs the peers one after the other, prints a line for each, and writes the JSON."""

import argparse
import json
import warnings
from functools import partial
from importlib.metadata import version
from pathlib import Path

from threadpoolctl import threadpool_limits

import bench.quality_peers as package
from bench.quality_peers.answers import digest, remembered
from bench.quality_peers.counting import CoOccurrence, Popularity
from bench.quality_peers.factors import Als, Ease, ItemNeighbours, Warp
from bench.quality_peers.log import read
from bench.quality_peers.peer import Peer
from bench.quality_peers.protocols import HALF_LIFE_EVENTS, measure
from bench.quality_peers.sasrec import SasRec

MAX_DENSE_ITEMS = 12_000
"""Items x items in float64 is 1.2 GB here, and EASE inverts it; above, such peers are skipped."""

LIBRARIES = ("numpy", "scipy", "torch", "recbole", "implicit", "lightfm-next")


def peers(cpu_seconds: float, threads: int, cache: Path) -> dict[str, Peer]:
    """All peers by name; parameters were picked on events 75,000 to 80,000 of MovieLens 100k."""
    return {
        "popularity": Popularity(),
        "popularity-decayed": Popularity(HALF_LIFE_EVENTS),
        "item-knn-cosine": ItemNeighbours("CosineRecommender"),
        "item-knn-bm25": ItemNeighbours("BM25Recommender"),
        "als": Als(),
        "lightfm-warp": Warp(),
        "ease": Ease(),
        "co-occurrence": CoOccurrence(),
        "co-occurrence-both-ways": CoOccurrence(both_ways=True, popularity_power=0.3),
        "sasrec": SasRec(cpu_seconds, threads, cache),
    }


def digits_of(figure: str) -> int:
    """Counts and seconds are shown whole, shares with four digits."""
    return 4 if "@" in figure or figure == "mrr" else 0


def row_of(name: str, told: dict[str, float] | None = None) -> str:
    """One line of the table, or its head."""
    names = ("events", "hit@10", "hit@20", "mrr", "ndcg@10", "new_events", "new_hit@10", "seconds")
    cells = tuple(f"{told[one]:.{digits_of(one)}f}" for one in names) if told else names
    return name.ljust(24) + "".join(cell.rjust(max(8, len(one) + 2)) for one, cell in zip(names, cells, strict=True))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        "python -m bench.quality_peers", description=(package.__doc__ or "").split("\n", 1)[0]
    )
    parser.add_argument("folder", type=Path, help="holds items.jsonl and interactions.jsonl")
    parser.add_argument("--protocol", choices=("prequential", "last-one"), default="prequential")
    parser.add_argument("--last", type=int, default=20_000, help="prequential: how many events are predicted")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, and for what is kept")
    parser.add_argument("--peers", help="names separated by commas; all if not given")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--sasrec-seconds", type=float, default=300, help="CPU seconds of SASRec's main training")
    return parser.parse_args()


def main() -> None:
    """Runs the peers one after the other, prints a line for each, and writes the JSON."""
    given = arguments()
    warnings.filterwarnings("ignore", message="Method expects CSR")  # implicit, of its own BM25 matrix
    given.out.mkdir(parents=True, exist_ok=True)
    log, every = read(given.folder), peers(given.sasrec_seconds, given.threads, given.out)
    chosen = (
        given.peers.split(",") if given.peers else [k for k, one in every.items() if given.protocol in one.protocols]
    )
    if unknown := [name for name in chosen if name not in every or given.protocol not in every[name].protocols]:
        raise SystemExit(f"no such peer for {given.protocol}: {', '.join(unknown)}; there are {', '.join(every)}")
    if given.protocol == "prequential" and not 0 < given.last < len(log):
        raise SystemExit(f"--last {given.last}: the data set has {len(log)} events, and some must come before the last")
    data = digest(log.users, log.items, log.names, str(log.item_count).encode())
    key = digest(*_code(), f"{data} {given.last} {given.sasrec_seconds}".encode())
    told: dict[str, dict[str, float]] = {}
    print(row_of(given.protocol), flush=True)
    for name in chosen:
        if every[name].dense and log.item_count > MAX_DENSE_ITEMS:
            print(f"{name}: skipped, it holds items x items and there are {log.item_count:,} items")
            continue
        with threadpool_limits(given.threads):
            run = partial(measure, every[name], log, given.protocol, given.last)
            answers = remembered(given.out / f"{given.protocol}-{name}.npz", key, run)
        told[name] = answers.figures()
        print(row_of(name, told[name]), flush=True)
    content = {
        "protocol": given.protocol,
        "data": {"events": len(log), "users": len(log.names), "items": log.item_count, "sha256": data},
        "peers": told,
        "libraries": {name: version(name) for name in LIBRARIES},
        "threads": given.threads,
        "command": f"python -m bench.quality_peers FOLDER --protocol {given.protocol} --last {given.last} --out DIR",
    }
    (given.out / f"{given.protocol}.json").write_text(json.dumps(content, indent=2) + "\n")


def _code() -> list[bytes]:
    return [file.read_bytes() for file in sorted(Path(__file__).parent.glob("*.py"))]


if __name__ == "__main__":
    main()

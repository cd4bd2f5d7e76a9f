"""How costs grow with items, users, history and links: a request, the records of an event, a search, memory.

    python -m bench.growth [MOST_THOUSANDS]

One of the four grows at a time, the others stay at BASE. Each size is measured in a process of its own, on a made-up
read model (bench/made_model.py), in processor time: the median of REQUESTS answers of `serving.pipeline.recommend` to
different users, of as many events applied (a profile and an item's signals, as a worker writes them) and of as many
searches for the nearest 100. The exponent is the slope of log(cost) over log(size): 0 where nothing grows, 1 where it
grows as the size does; over all sizes, and over the largest ten times alone, where constant parts no longer hide it.

Below 5,000 items search is exact on purpose, and grows as they do.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from time import process_time

import numpy as np

from bench.deployment import say
from bench.made_model import LINKS, NOW, VERSION, D, restore, vectors
from bench.memory import memory
from bench.report import Figure, percentile, report
from domain.codecs import pack
from domain.log_reader import LogRecord
from domain.profile import Touch, insert, moved_to
from domain.settings import ServingSettings, load_settings
from domain.topics import ITEM_SIGNALS, USER_PROFILES
from embeddings.faiss_index import FaissIndex
from learning.signals import ONCE
from learning.signals_record import pack_share
from serving.features import NAMES
from serving.pipeline import recommend
from serving.query import stored_query
from serving.read_model import ReadModel

BASE = {"items": 10_000, "users": 10_000, "history": 20, "links": LINKS}
SIZES = {
    "items": [1_000, 10_000, 100_000, 1_000_000],
    "users": [1_000, 10_000, 100_000, 1_000_000],
    "history": [10, 50, 200],
    "links": [LINKS, 10 * LINKS, 100 * LINKS],
}
REQUESTS, SLATE, K, PROFILE_SIZE = 300, 10, 100, 200
UNITS = {"request": "ms", "apply_event": "ms", "search": "ms", "memory": "MiB"}
Costs = dict[str, float]


def main() -> None:
    """Measures and reports."""
    if sys.argv[1:2] == ["point"]:
        print(json.dumps(_point(*map(int, sys.argv[2:]))))
        return
    most = 1000 * int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    figures: list[Figure] = []
    for axis, sizes in SIZES.items():
        found = {
            size: _measured({**BASE, axis: size}) for size in sizes if axis in {"history", "links"} or size <= most
        }
        for cost, unit in UNITS.items():
            figures += _figures(axis, cost, unit, {size: one[cost] for size, one in found.items()})
    report("growth", figures, "python -m bench.growth")


def _measured(sizes: Mapping[str, int]) -> Costs:
    command = [sys.executable, "-m", "bench.growth", "point", *(str(sizes[axis]) for axis in BASE)]
    told: Costs = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    say(f"{dict(sizes)}: " + ", ".join(f"{name} {value:,.2f} {UNITS[name]}" for name, value in told.items()))
    return told


def _figures(axis: str, cost: str, unit: str, by_size: Mapping[int, float]) -> list[Figure]:
    sizes = list(by_size)
    first, last, before = sizes[0], sizes[-1], sizes[-2]
    late = _exponent({size: by_size[size] for size in (before, last)})
    return [
        Figure(f"{cost}_at_{last}_{axis}", by_size[last], unit, f"at_{first}", by_size[first]),
        Figure(f"{cost}_exponent_{axis}", _exponent(by_size), ""),
        Figure(f"{cost}_exponent_{axis}_from_{before}", late, ""),
    ]


def _exponent(by_size: Mapping[int, float]) -> float:
    slope, _ = np.polyfit(np.log(list(by_size)), np.log(list(by_size.values())), 1)
    return float(slope)


def _point(items: int, users: int, history: int, links: int = LINKS) -> Costs:
    settings = load_settings(ServingSettings)
    before, _ = memory()
    model = ReadModel(settings, FaissIndex(D, settings.exact_index_below), VERSION, features=NAMES)
    asyncio.run(restore(model, users, items, history, links))
    own = (memory()[0] - before) / 2**20
    asked = [f"user-{at * 7919 % users}" for at in range(REQUESTS)]
    queries = vectors(REQUESTS, seed=5)
    index = model.catalogue.index
    events = [_event_of(model, user, number, items) for number, user in enumerate(asked)]
    requests = [lambda user=user: recommend(stored_query(model, user, SLATE, NOW)) for user in asked]
    return {
        "request": _median_ms(requests),
        "apply_event": _median_ms([lambda records=records: model.apply(records) for records in events]),
        "search": _median_ms([lambda query=query: index.search(query[None], K) for query in queries]),
        "memory": own,
    }


def _event_of(model: ReadModel, user: str, number: int, items: int) -> list[LogRecord]:
    """Returns what a worker writes for a click: the user's profile with it, and the item's signals."""
    position = 10 * items + number
    item_id = f"item-{number * 104_729 % items}"
    profile = model.profiles.get(user)
    share = model.behaviour.shares(model.catalogue.rows[item_id])[0]
    if profile is None:
        raise SystemExit(f"{user} is not there")
    touched = insert(profile, Touch(NOW, f"new-{number}", item_id, "click", None, position), PROFILE_SIZE)[0]
    share.position, share.as_of_ms = position, NOW
    share.before |= {touch.item_id: ONCE for touch in touched.touches[-25:]}

    def record(topic: str, key: str, value: bytes) -> LogRecord:
        return LogRecord(model.settings.topic(topic), 0, number, NOW, key.encode(), value)

    return [
        record(ITEM_SIGNALS, item_id, pack_share(share)),
        record(USER_PROFILES, user, pack(moved_to(touched, position, NOW))),
    ]


def _median_ms(calls: Sequence[Callable[[], object]]) -> float:
    took = []
    for call in calls:
        began = process_time()
        call()
        took.append(1000 * (process_time() - began))
    return percentile(took, 0.5)


if __name__ == "__main__":
    main()

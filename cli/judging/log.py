"""A data set in the import format, in the order of time, ready to be replayed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from cli.datasets import read_interactions, read_items
from cli.progress import progress
from cli.refusals import Refusals
from domain.errors import ConfigError, EventError
from domain.interactions import INTERACTION_TYPES, Interaction, InteractionType, decode_interaction
from domain.items import Item
from domain.settings import KafkaSettings

ENDINGS = (".jsonl", ".ndjson", ".csv", ".jsonl.gz", ".csv.gz")


@dataclass
class EventLog:
    """What a folder holds.

    Attributes:
        items: the catalogue.
        raw: the interactions as JSON, ascending by event time, ties in the order of the file: a fifth of what
            decoded ones take.
        times_ms: (E,) int64.
        refused: lines that were left out.
        types: the interaction types of the deployment.
    """

    items: list[Item]
    raw: list[bytes]
    times_ms: NDArray[np.int64]
    refused: Refusals = field(default_factory=Refusals)
    types: Mapping[str, InteractionType] = field(default_factory=lambda: INTERACTION_TYPES)

    def __len__(self) -> int:
        return len(self.raw)

    def interaction(self, at: int) -> Interaction:
        """Returns one interaction."""
        return decode_interaction(self.raw[at], int(self.times_ms[at]), self.types)


def read_log(folder: Path, settings: KafkaSettings) -> EventLog:
    """Reads items and interactions of a folder; lines that cannot be used are counted and left out.

    Raises:
        ConfigError: a file is missing, or nothing in it can be used.
    """
    refused = Refusals()
    items: dict[str, Item] = {}
    for line, item in progress(read_items(_file(folder, "items")), "reading items", "items"):
        if isinstance(item, EventError):
            refused.add(line, item)
        else:
            items[item.item_id] = item
    raw: list[bytes] = []
    times: list[int] = []
    path = _file(folder, "interactions")
    types = settings.all_interaction_types()
    for line, one in progress(read_interactions(path, types), "reading interactions", "events"):
        if isinstance(one, EventError):
            refused.add(line, one)
        else:
            raw.append(msgspec.json.encode(one))
            times.append(one.time_ms)
    if not items or not raw:
        raise ConfigError(f"{folder}: {len(items)} usable items and {len(raw)} interactions; a backtest needs both")
    order = np.argsort(times, kind="stable")
    return EventLog(list(items.values()), [raw[at] for at in order], np.array(times, np.int64)[order], refused, types)


def _file(folder: Path, name: str) -> Path:
    for ending in ENDINGS:
        if (folder / f"{name}{ending}").is_file():
            return folder / f"{name}{ending}"
    raise ConfigError(f"{folder}: no {name}.jsonl in it; `freshet data movielens-100k {folder}` makes an example")

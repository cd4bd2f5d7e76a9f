"""The data set as the peers see it: events in the order of time, histories, and questions about what came next."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
History = dict[int, None]
"""The items a user touched, the newest last, each once."""


@dataclass(frozen=True)
class Log:
    """Events in the order of time, users and items as numbers.

    `held` marks the events that a peer may hold out of its training to decide when to stop.
    """

    users: Ints
    items: Ints
    names: NDArray[np.str_]
    item_count: int
    held: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.users)

    def where(self, chosen: NDArray[np.bool_] | slice) -> "Log":
        """The events chosen; users and items keep their numbers."""
        return replace(self, users=self.users[chosen], items=self.items[chosen], held=self.held[chosen])

    def sequences(self) -> list[list[int]]:
        """Each user's items in the order of time."""
        found: list[list[int]] = [[] for _ in self.names]
        for user, item in zip(self.users.tolist(), self.items.tolist(), strict=True):
            found[user].append(item)
        return found

    def histories(self) -> list[History]:
        """Each user's items, the newest last, each once."""
        return [dict.fromkeys(reversed(dict.fromkeys(reversed(one)))) for one in self.sequences()]


@dataclass(frozen=True)
class Question:
    """An event to predict: which item did this user go on to, after these."""

    event: int
    user: int
    item: int
    history: tuple[int, ...]


def read(folder: Path) -> Log:
    """Reads a data set; items that only interactions name come after those described."""
    with (folder / "items.jsonl").open() as lines:
        items = {json.loads(line)["item_id"]: number for number, line in enumerate(lines)}
    with (folder / "interactions.jsonl").open() as lines:
        events = [json.loads(line) for line in lines]
    users: dict[str, int] = {}
    events.sort(key=lambda event: milliseconds(event["event_time"]))  # stable
    log_users = [users.setdefault(event["user_id"], len(users)) for event in events]
    log_items = [items.setdefault(event["item_id"], len(items)) for event in events]
    held = np.zeros(len(events), bool)
    return Log(np.array(log_users), np.array(log_items), np.array(list(users)), len(items), held)


def milliseconds(event_time: int | float | str) -> float:
    """Epoch milliseconds of a time given so, or as RFC 3339."""
    return datetime.fromisoformat(event_time).timestamp() * 1000 if isinstance(event_time, str) else event_time


def matrix(histories: Sequence[Sequence[int] | History], items: int) -> csr_matrix:
    """Histories as rows of ones."""
    columns = [item for history in histories for item in history]
    ends = np.cumsum([0] + [len(history) for history in histories])
    return csr_matrix((np.ones(len(columns), np.float32), columns, ends), (len(histories), items))


def touch(history: History, item: int) -> None:
    """Makes an item the newest of a history."""
    history.pop(item, None)
    history[item] = None


def questions(log: Log, events: Ints | range) -> list[Question]:
    """Asks about some events of the log, given in the order of time."""
    log = replace(log, held=np.isin(np.arange(len(log)), events))
    histories: list[History] = [{} for _ in log.names]
    asked = []
    for event, (user, item) in enumerate(zip(log.users.tolist(), log.items.tolist(), strict=True)):
        if log.held[event]:
            asked.append(Question(event, user, item, tuple(histories[user])))
        touch(histories[user], item)
    return asked

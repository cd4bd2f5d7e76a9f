"""What other recommenders reach on a data set: the figures that Freshet's quality stands beside.

    python bench/quality_peers.py FOLDER --protocol prequential --out DIR

Runs in an environment of its own (bench/peers-requirements.txt) and imports nothing of the project. FOLDER holds
items.jsonl and interactions.jsonl; every interaction counts as a positive, in the order of event_time (ties keep
the file's order). For each event asked about, all items that the user has not touched yet are ranked, and the
rank of the one that came (0 is best) is kept. Equal scores go by decayed popularity, for every peer alike; what
ties then takes its mean place, rounded down the list.

prequential: the last events in time; each is predicted, then learned from: at once by peers that can, at the next
    refit by others, and SASRec is frozen at the start. Histories are live for all.
last-one: the last event of each user, all others learned from; it leaks the future and serves to compare with papers.

DIR gets PROTOCOL.json, and for each peer PROTOCOL-PEER.npz with the arrays event (place in the order of time),
user (id), rank and past (how many items the user had touched before), for paired comparisons. What is there
already for the same data, protocol and code is not measured again. Seconds are CPU seconds of fitting and ranking.
"""
# ruff: noqa: PLC0415 - a peer imports its library when it runs

import argparse
import hashlib
import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits
from tqdm import tqdm

SEED = 42
HALF_LIFE_EVENTS = 5_000
FEW = 5  # a user with fewer items than this behind them counts as new
MAX_DENSE_ITEMS = 12_000  # items x items in float64 is 1.2 GB here, and EASE inverts it; above, such peers are skipped
LIBRARIES = ("numpy", "scipy", "torch", "recbole", "implicit", "lightfm-next")
Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
History = dict[int, None]  # the items a user touched, the newest last, each once


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


@dataclass(frozen=True)
class Answers:
    """The rank that each event's item got."""

    event: Ints
    user: NDArray[np.str_]
    rank: Ints
    past: Ints
    seconds: float

    def figures(self) -> dict[str, float]:
        """The metrics, each a mean over events with one right answer; NaN where there is no event."""
        rank, new = self.rank, self.past < FEW
        gain = np.where(rank < 10, 1 / np.log2(rank + 2), 0.0)
        return {
            "events": len(rank),
            "users": len(np.unique(self.user)),
            "hit@10": float(np.mean(rank < 10)),
            "hit@20": float(np.mean(rank < 20)),
            "mrr": float(np.mean(1 / (rank + 1))),
            "ndcg@10": float(np.mean(gain)),
            "new_events": int(new.sum()),
            "new_hit@10": float(np.mean(rank[new] < 10)) if new.any() else float("nan"),
            "seconds": round(self.seconds, 1),
        }


class Peer:
    """A recommender. `refit` is the number of events between fits (0: fitted once, or learns from each event)."""

    refit = 0
    block = 250  # how many events may be ranked together, none of which the peer has learned from
    dense = False
    spent_before = 0.0  # CPU seconds of an earlier run that this one did not have to spend again
    protocols: tuple[str, ...] = ("prequential", "last-one")

    def fit(self, log: Log) -> None:
        """Learns from all of the log, and forgets what it knew."""

    def learn(self, question: Question) -> None:
        """Learns from one event at once."""

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Scores every item for each of the users, higher is better: shape (users, items)."""
        raise NotImplementedError


class Incremental(Peer):
    """A peer that learns from each event as it comes; its fit is to go through the log."""

    block = 1

    def clear(self, items: int) -> None:
        """Forgets everything."""
        raise NotImplementedError

    def fit(self, log: Log) -> None:
        """Learns from one event after the other."""
        self.clear(log.item_count)
        histories: list[History] = [{} for _ in log.names]
        for event, (user, item) in enumerate(zip(log.users.tolist(), log.items.tolist(), strict=True)):
            self.learn(Question(event, user, item, tuple(histories[user])))
            touch(histories[user], item)


class Popularity(Incremental):
    """How often an item was touched; with a half life in events, the newer the more it counts."""

    def __init__(self, half_life_events: float = float("inf")) -> None:
        self.half_life_events, self.newest = half_life_events, 0

    def fit(self, log: Log) -> None:
        """Counts all; an event weighs 1 at the end of the log."""
        self.newest = len(log)
        super().fit(log)

    def clear(self, items: int) -> None:
        """Forgets everything."""
        self.counts = np.zeros(items)

    def learn(self, question: Question) -> None:
        """Counts; instead of all older counts shrinking, newer ones weigh more."""
        self.counts[question.item] += 2.0 ** ((question.event - self.newest) / self.half_life_events)

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """The counts, for everybody."""
        return np.broadcast_to(self.counts, (len(users), len(self.counts)))


class CoOccurrence(Incremental):
    """What came after the user's last ten items in other histories, near ones more (0.8 for each step)."""

    dense = True
    last, decay = 10, 0.8

    def __init__(self, both_ways: bool = False, popularity_power: float = 0.0) -> None:
        self.both_ways, self.popularity_power = both_ways, popularity_power

    def clear(self, items: int) -> None:
        """Forgets everything."""
        self.after = np.zeros((items, items), np.float32)
        self.counts = np.ones(items, np.float32)

    def learn(self, question: Question) -> None:
        """Counts the item after each of the last ten."""
        recent, weights = self._recent(question.history)
        self.after[recent, question.item] += weights
        self.counts[question.item] += 1

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Sums the counts after the last ten, and with both ways those before them."""
        found = np.zeros((len(users), len(self.counts)), np.float32)
        for row, history in enumerate(histories):
            recent, weights = self._recent(history)
            found[row] = weights @ self.after[recent]
            if self.both_ways:
                found[row] += self.after[:, recent] @ weights
        return found / self.counts**self.popularity_power

    def _recent(self, history: tuple[int, ...]) -> tuple[list[int], Floats]:
        recent = list(history[: -self.last - 1 : -1])
        return recent, (self.decay ** np.arange(len(recent))).astype(np.float32)


class Ease(Peer):
    """EASE (Steck 2019): the linear item-to-item model in closed form."""

    refit = 1_000
    dense = True
    regularisation = 200.0

    def fit(self, log: Log) -> None:
        """Inverts the regularised Gram matrix."""
        touched = matrix(log.histories(), log.item_count)
        gram = (touched.T @ touched).toarray().astype(np.float64)
        gram[np.diag_indices_from(gram)] += self.regularisation
        inverse = np.linalg.inv(gram)
        weights = inverse / -np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        self.weights = weights.astype(np.float32)

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Sums the weights from the items of the history."""
        return matrix(histories, len(self.weights)) @ self.weights


class ItemNeighbours(Peer):
    """Item-kNN of implicit."""

    refit = 1_000
    neighbours = 200

    def __init__(self, name: str) -> None:
        self.name = name

    def fit(self, log: Log) -> None:
        """Finds each item's neighbours."""
        import implicit.nearest_neighbours as library

        model = getattr(library, self.name)(K=self.neighbours, num_threads=1)
        model.fit(matrix(log.histories(), log.item_count), show_progress=False)
        self.similarity = model.similarity

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Sums the similarities to the items of the history."""
        return (matrix(histories, self.similarity.shape[0]) @ self.similarity).toarray()


class Als(Peer):
    """Implicit-feedback ALS of implicit; a user's factors are solved from the live history."""

    refit = 2_500
    settings = {"factors": 128, "regularization": 10.0, "alpha": 1.0, "iterations": 15}

    def fit(self, log: Log) -> None:
        """Alternates."""
        from implicit.cpu.als import AlternatingLeastSquares

        self.model = AlternatingLeastSquares(**self.settings, random_state=SEED, num_threads=1)
        self.model.fit(matrix(log.histories(), log.item_count), show_progress=False)

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Inner products with the items' factors."""
        touched = matrix(histories, len(self.model.item_factors))
        return self.model.recalculate_user(np.arange(len(users)), touched) @ self.model.item_factors.T


class Warp(Peer):
    """LightFM with the WARP loss. It knows users by their ids, not by histories, so it cannot be asked live."""

    protocols = ("last-one",)

    def fit(self, log: Log) -> None:
        """Runs 30 epochs."""
        from lightfm import LightFM

        touched = matrix(log.histories(), log.item_count)
        self.model = LightFM(no_components=64, loss="warp", random_state=SEED)
        self.model.fit(touched, epochs=30, num_threads=1)

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Predicts every item for each user."""
        items = len(self.model.item_biases)
        asked = np.repeat(np.asarray(users, np.int32), items)
        every = np.tile(np.arange(items, dtype=np.int32), len(users))
        return self.model.predict(asked, every).reshape(len(users), items)


class SasRec(Peer):
    """SASRec on item ids: RecBole's model, trained as its paper says, with a loss at every position.

    Trained until the held events stop getting better, then for some epochs on everything at a falling rate; frozen
    from then on. A long sequence is cut into windows at another place each epoch; only its first window teaches
    the first positions, so that these stand for the start of a history, as they do when a new user is asked about.
    """

    length, step, batch, rate = 50, 25, 16, 1e-3
    patience, last_epochs = 3, 5
    settings = {
        "n_layers": 2,
        "n_heads": 2,
        "hidden_size": 64,
        "inner_size": 256,
        "hidden_dropout_prob": 0.3,
        "attn_dropout_prob": 0.3,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
        "initializer_range": 0.02,
        "loss_type": "CE",
    }
    """RecBole's own, but for dropout, which is 0.5 there and needs more epochs than there is time for."""

    def __init__(self, cpu_seconds: float, threads: int, cache: Path) -> None:
        self.cpu_seconds, self.threads, self.cache = cpu_seconds, threads, cache

    def fit(self, log: Log) -> None:
        """Trains, or reads the weights that an earlier run left for the same events and settings."""
        import torch

        torch.set_num_threads(self.threads)
        torch.manual_seed(SEED)
        self.model = self._untrained(log.item_count)
        told = (self.length, self.step, self.batch, self.rate, self.patience, self.last_epochs, self.settings)
        key = digest(log.users, log.items, log.held, repr((told, self.cpu_seconds)).encode())
        file = self.cache / f"sasrec-{key}.pt"
        if file.exists():
            kept = torch.load(file)
            self.spent_before = kept["seconds"]
            self.model.load_state_dict(kept["weights"])
        else:
            started = time.process_time()
            self._train(log)
            torch.save({"weights": self.model.state_dict(), "seconds": time.process_time() - started}, file)
        self.model.eval()

    def scores(self, users: Sequence[int], histories: Sequence[tuple[int, ...]]) -> Floats:
        """Scores from the newest items of the history; all alike where there is none."""
        import torch

        newest = [history[-self.length :] for history in histories]
        lengths = torch.tensor([max(1, len(one)) for one in newest])
        with torch.no_grad():
            states = self.model(self._padded(newest, self.length), lengths)[torch.arange(len(newest)), lengths - 1]
            found = (states @ self.model.item_embedding.weight[1:].T).numpy()
        found[[not one for one in newest]] = 0.0
        return found

    def _untrained(self, items: int):  # noqa: ANN202 - a class that exists where RecBole does
        from recbole.model.sequential_recommender.sasrec import SASRec

        class EveryPosition(SASRec):
            def gather_indexes(self, output, gather_index):  # noqa: ANN001, ANN202
                return output

        class Sizes:
            def num(self, field: str) -> int:
                return items + 1  # 0 is padding

        fields = ("USER_ID_FIELD", "ITEM_ID_FIELD", "LIST_SUFFIX", "ITEM_LIST_LENGTH_FIELD", "NEG_PREFIX")
        config = dict.fromkeys(fields, "") | {"MAX_ITEM_LIST_LENGTH": self.length, "device": "cpu"}
        return EveryPosition(config | self.settings, Sizes())

    def _train(self, log: Log) -> None:
        import torch

        optimizer = torch.optim.Adam(self.model.parameters(), lr=self.rate)
        chance, started = np.random.default_rng(SEED), time.process_time()
        kept, asked = log.where(~log.held), questions(log, np.flatnonzero(log.held))
        best, weights, worse = -1.0, {}, 0
        with tqdm(desc="sasrec, epochs", unit="epoch", leave=False) as bar:
            while worse < self.patience and time.process_time() - started < self.cpu_seconds:
                for _ in range(2):
                    self._epoch(kept.sequences(), optimizer, chance)
                    bar.update()
                reached = self._ndcg(asked)
                bar.set_postfix({"ndcg@10 of the held": f"{reached:.4f}"})
                worse += 1
                if reached > best:
                    best, worse = reached, 0
                    weights = {name: one.clone() for name, one in self.model.state_dict().items()}
            self.model.load_state_dict(weights)
            for left in range(self.last_epochs, 0, -1):
                optimizer.param_groups[0]["lr"] = self.rate * left / self.last_epochs
                self._epoch(log.sequences(), optimizer, chance)
                bar.update()

    def _epoch(self, sequences: list[list[int]], optimizer, chance: np.random.Generator) -> None:  # noqa: ANN001
        import torch

        self.model.train()
        cut = [one for sequence in sequences if len(sequence) > 1 for one in self._windows(sequence, chance)]
        order = chance.permutation(len(cut))
        for begin in range(0, len(order), self.batch):
            window, first = zip(*(cut[at] for at in order[begin : begin + self.batch]), strict=True)
            items = self._padded(window, self.length + 1)
            before, target = items[:, :-1], items[:, 1:]
            told = (target > 0) & (torch.arange(self.length) >= torch.tensor(first)[:, None])
            states = self.model(before, torch.full((len(items),), self.length))[told]
            loss = torch.nn.functional.cross_entropy(states @ self.model.item_embedding.weight.T, target[told])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    def _windows(self, sequence: list[int], chance: np.random.Generator) -> list[tuple[list[int], int]]:
        """Cuts a sequence into windows of length + 1, each with the first position that it teaches."""
        size = self.length + 1
        found = [(sequence[:size], 0)]
        begin = size - int(chance.integers(self.step))
        while len(sequence) > size and begin < len(sequence):
            end = min(begin + self.step, len(sequence))
            found.append((sequence[end - size : end], self.length - (end - begin)))
            begin = end
        return found

    def _ndcg(self, asked: list[Question]) -> float:
        self.model.eval()
        gains: list[float] = []
        for begin in range(0, len(asked), self.block):
            block = asked[begin : begin + self.block]
            found = self.scores([one.user for one in block], [one.history for one in block])
            ranks = np.array([rank_of(one, row) for one, row in zip(block, found, strict=True)])
            gains += np.where(ranks < 10, 1 / np.log2(ranks + 2), 0.0).tolist()
        return float(np.mean(gains)) if gains else 0.0

    def _padded(self, windows: Sequence[Sequence[int]], length: int):  # noqa: ANN202
        import torch

        found = np.zeros((len(windows), length), np.int64)
        for row, window in zip(found, windows, strict=True):
            row[: len(window)] = np.asarray(window, np.int64) + 1
        return torch.from_numpy(found)


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


def rank_of(asked: Question, scores: Floats, popularity: Floats | None = None) -> int:
    """The place of the item among those not in the history; ties go by popularity, then to the mean place."""
    level = scores == scores[asked.item]
    ahead = scores > scores[asked.item]
    if popularity is not None:
        ahead |= level & (popularity > popularity[asked.item])
        level &= popularity == popularity[asked.item]
    seen = list(asked.history)
    ahead[seen] = level[seen] = False
    return int(ahead.sum() + level.sum() // 2)  # the item is level with itself


def prequential(peer: Peer, log: Log, first: int) -> list[tuple[Question, int]]:
    """Ranks each event from `first` on, before it is learned from."""
    popularity, answers = Popularity(HALF_LIFE_EVENTS), []
    popularity.fit(log.where(slice(first)))
    asked = questions(log, range(first, len(log)))
    refit = peer.refit or len(asked)
    with tqdm(total=len(asked), desc=type(peer).__name__, unit="event", leave=False, mininterval=1) as bar:
        for start in range(0, len(asked), refit):
            peer.fit(log.where(slice(first + start)))
            for begin in range(start, min(start + refit, len(asked)), peer.block):
                block = asked[begin : min(begin + peer.block, start + refit)]
                found = peer.scores([one.user for one in block], [one.history for one in block])
                for one, row in zip(block, found, strict=True):
                    if one.item not in one.history:
                        answers.append((one, rank_of(one, row, popularity.counts)))
                    popularity.learn(one)
                    peer.learn(one)
                bar.update(len(block))
    return answers


def last_one(peer: Peer, log: Log, lasts: NDArray[np.bool_]) -> list[tuple[Question, int]]:
    """Ranks the events marked, one a user, after learning from all others."""
    known, popularity = log.where(~lasts), Popularity(HALF_LIFE_EVENTS)
    popularity.fit(known)
    peer.fit(known)
    asked = [one for one in questions(log, np.flatnonzero(lasts)) if one.item not in one.history]
    answers = []
    for begin in tqdm(range(0, len(asked), peer.block), desc=type(peer).__name__, leave=False, mininterval=1):
        block = asked[begin : begin + peer.block]
        found = peer.scores([one.user for one in block], [one.history for one in block])
        answers += [(one, rank_of(one, row, popularity.counts)) for one, row in zip(block, found, strict=True)]
    return answers


def lasts_of(log: Log) -> NDArray[np.bool_]:
    """Marks the last event of each user that has more than one."""
    last = {user: event for event, user in enumerate(log.users.tolist())}
    counts = np.bincount(log.users)
    marked = np.zeros(len(log), bool)
    marked[[event for user, event in last.items() if counts[user] > 1]] = True
    return marked


def measure(peer: Peer, log: Log, protocol: str, last: int) -> Answers:
    """Runs a peer through a protocol."""
    started = time.process_time()
    if protocol == "prequential":
        first = len(log) - last
        held = (np.arange(len(log)) >= first - first // 16) & (np.arange(len(log)) < first)
        answers = prequential(peer, replace(log, held=held), first)
    else:
        lasts = lasts_of(log)
        held = np.zeros(len(log), bool)
        held[np.flatnonzero(~lasts)[lasts_of(log.where(~lasts))]] = True
        answers = last_one(peer, replace(log, held=held), lasts)
    asked, ranks = zip(*answers, strict=True)
    return Answers(
        event=np.array([one.event for one in asked]),
        user=log.names[[one.user for one in asked]],
        rank=np.array(ranks),
        past=np.array([len(one.history) for one in asked]),
        seconds=time.process_time() - started + peer.spent_before,
    )


def digest(*parts: NDArray[np.generic] | bytes) -> str:
    """A short hash."""
    found = hashlib.sha256()
    for part in parts:
        found.update(part if isinstance(part, bytes) else np.ascontiguousarray(part).tobytes())
    return found.hexdigest()[:16]


def remembered(file: Path, key: str, run: Callable[[], Answers]) -> Answers:
    """The answers in a file written under the same key; else runs, and writes it."""
    names = ("event", "user", "rank", "past", "seconds")
    if file.exists():
        with np.load(file) as kept:
            if str(kept["key"]) == key:
                return Answers(**{name: kept[name] for name in names[:-1]}, seconds=float(kept["seconds"]))
    answers = run()
    np.savez_compressed(file, key=key, **{name: getattr(answers, name) for name in names})
    return answers


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
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
    key = digest(Path(__file__).read_bytes(), f"{data} {given.last} {given.sasrec_seconds}".encode())
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
        "command": f"python bench/quality_peers.py FOLDER --protocol {given.protocol} --last {given.last} --out DIR",
    }
    (given.out / f"{given.protocol}.json").write_text(json.dumps(content, indent=2) + "\n")


if __name__ == "__main__":
    main()

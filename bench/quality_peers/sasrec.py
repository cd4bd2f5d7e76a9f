"""The sequence model that others are compared with: RecBole's SASRec."""
# ruff: noqa: PLC0415 - a peer imports its library when it runs

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.quality_peers.answers import digest, rank_of
from bench.quality_peers.log import Floats, Log, Question, questions
from bench.quality_peers.peer import SEED, Peer


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

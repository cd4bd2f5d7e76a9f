"""The ranks that a peer gave, what they come to, and keeping them from one run to the next."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.quality_peers.log import Floats, Ints, Question

FEW = 5
"""A user with fewer items than this behind them counts as new."""


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

"""What a protocol found: one row for each case that was judged, and its metrics."""

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from learning.metrics import auc, hit, ndcg, over_slates, per_list, reciprocal_rank

METRICS = ("hit@10", "hit@20", "mrr", "ndcg@10", "recall@10", "auc")
SLICES = ("all", "no past events", "1 past event", "2-4 past events", "<5 past events", "5+ past events",
          "heavy users (150+)", "new items", "items touched 1-9 times")  # fmt: skip

Floats = NDArray[np.float64]


class AmongNew(NamedTuple):
    """How an item that was new stands among the other new ones; all NaN for one that was not.

    Attributes:
        auc: the share of the others that are ranked below it.
        hit: 1 if it is among the first ten of them.
        chance: what `hit` is on average of a ranking by chance.
    """

    auc: float
    hit: float
    chance: float


OLD = AmongNew(np.nan, np.nan, np.nan)


def among_new(rank: int, ranked: int, new: int) -> AmongNew:
    """Returns it from an item's 0-based place, -1 for none, among the new ones ranked, and how many there are."""
    share = float(auc(np.array([rank]), np.array([ranked]), np.array([new]))[0])
    return AmongNew(share, float(0 <= rank < 10), min(1.0, 10 / max(new, 1)))


@dataclass
class Cases:
    """Judged cases as columns.

    Attributes:
        case: what was judged, the same under every configuration: the event's place in the log.
        user: the user, numbered.
        history: how many interactions the user's profile held.
        popularity: how often the item had been touched in the log; 0 for a new item.
        values: the metrics, one list each of METRICS.
        among_new: how each item stands among the new ones.
        ranks: 0-based place of the item; -1 if it was no candidate, or where there were several items.
        slates: the first ten of each answer, as rows.
        seconds: what the parts of the work took.
        trainings: seconds of each training of the sequence model.
        replayed: events that were learned from.
    """

    case: list[int] = field(default_factory=list)
    user: list[int] = field(default_factory=list)
    history: list[int] = field(default_factory=list)
    popularity: list[int] = field(default_factory=list)
    ranks: list[int] = field(default_factory=list)
    among_new: list[AmongNew] = field(default_factory=list)
    values: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in METRICS})
    slates: list[NDArray[np.int64]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    trainings: list[float] = field(default_factory=list)
    replayed: int = 0

    def add(  # noqa: PLR0913, PLR0917  (one row)
        self,
        case: int,
        user: int,
        history: int,
        popularity: int,
        ranked: NDArray[np.int64],
        relevant: list[int],
        unseen: int,
        standing: AmongNew,
    ) -> None:
        """Takes one case: (C,) rows as ranked of so many unseen items, and the rows that should have been on top."""
        self.case.append(case)
        self.user.append(user)
        self.history.append(history)
        self.popularity.append(popularity)
        self.slates.append(ranked[:10])
        self.among_new.append(standing)
        found = np.flatnonzero(ranked == relevant[0])
        self.ranks.append(int(found[0]) if len(relevant) == 1 and len(found) else -1)
        for name, value in _values(self.ranks[-1], ranked, relevant).items():
            self.values[name].append(value)
        places = [int(place[0]) if len(place := np.flatnonzero(ranked == row)) else -1 for row in relevant]
        shares = auc(np.array(places), np.full(len(places), len(ranked)), np.full(len(places), unseen))
        self.values["auc"].append(float(shares.mean()))

    def column(self, metric: str) -> Floats:
        """(E,) float64: one metric of every case."""
        return np.array(self.values[metric])

    def slices(self) -> dict[str, NDArray[np.bool_]]:
        """Which cases belong to each of SLICES: (E,) bool."""
        history, popularity = np.array(self.history), np.array(self.popularity)
        masks = (
            history >= 0,
            history == 0,
            history == 1,
            (history >= 2) & (history < 5),
            history < 5,
            history >= 5,
            history >= 150,
            popularity == 0,
            (popularity > 0) & (popularity < 10),
        )
        return dict(zip(SLICES, masks, strict=True))

    def spread(self, touched: NDArray[np.int64], catalogue: int) -> dict[str, float]:
        """Coverage, Gini, novelty and long tail of the slates; `touched` counts the log's touches by row."""
        return over_slates(self.slates, touched, catalogue)


def _values(rank: int, ranked: NDArray[np.int64], relevant: list[int]) -> dict[str, float]:
    if len(relevant) > 1:
        ten, twenty = (per_list(ranked, np.array(relevant), k) for k in (10, 20))
        best = {f"{one}@10": ten[one] for one in ("hit", "ndcg", "recall")}
        return best | {"hit@20": twenty["hit"], "mrr": ten["mrr"]}
    one = np.array([rank])
    hits = float(hit(one, 10)[0])
    return {
        "hit@10": hits,
        "hit@20": float(hit(one, 20)[0]),
        "mrr": float(reciprocal_rank(one)[0]),
        "ndcg@10": float(ndcg(one, 10)[0]),
        "recall@10": hits,
    }

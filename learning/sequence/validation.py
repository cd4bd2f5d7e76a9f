"""How well a model ranks what came next, with the history as it was at that moment."""

import numpy as np
import torch
from numpy.typing import NDArray

from learning.sequence.catalogue import Catalogue
from learning.sequence.model import SequenceModel
from learning.sequence.windows import Batch, Log, Windows, collate, touched

EVENTS_AT_ONCE = 2048


def ndcg(ranks: NDArray[np.int64], k: int = 10) -> float:
    """Returns the mean of 1 / log2(rank + 2) over ranks below k, counted from 0. No rank: 0."""
    return float(np.where(ranks < k, 1 / np.log2(ranks + 2.0), 0).mean()) if len(ranks) else 0.0


@torch.no_grad()
def ranks(model: SequenceModel, items: Catalogue, log: Log, windows: Windows) -> NDArray[np.int64]:
    """Returns the rank of each item that came next among all that the user had not touched; (P,) int64, 0 is best.

    What was touched before is left out, unless it is what came next. Ties count against the model.
    """
    vectors = model.item_vectors(items.texts, model.residual * items.gates)
    order = np.argsort(windows.end - windows.start, kind="stable")
    found = [np.zeros(0, np.int64)]
    size = max(1, EVENTS_AT_ONCE // model.config.length)
    for begin in range(0, len(order), size):
        chosen = Windows(*(column[order[begin : begin + size]] for column in windows))
        batch = collate(log, chosen)
        users = model(vectors[torch.from_numpy(batch.rows)], batch)[torch.from_numpy(batch.asked)]
        found.append(_ranks((users @ vectors.T).numpy(), log, batch))
    return np.concatenate(found)


def _ranks(scores: NDArray[np.float32], log: Log, batch: Batch) -> NDArray[np.int64]:
    each, targets = np.arange(len(scores)), log.rows[batch.at[batch.asked] + 1]
    right = scores[each, targets]
    scores[touched(log, batch)] = -np.inf
    scores[each, targets] = -np.inf
    found: NDArray[np.int64] = (scores >= right[:, None]).sum(1)
    return found

"""What everybody touches, with the past decaying, and what people with as short or long a history touch."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query
from serving.sources.merging import Rankings, in_turn

FOR_STRANGERS = 4
"""So many times as many where there is no history: hardly any other source finds anything then."""


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the most popular items by each half life in turn; newest first while nobody did anything yet."""
    limit *= 1 if query.recent else FOR_STRANGERS
    behaviour, catalogue = query.model.behaviour, query.model.catalogue
    heads = behaviour.heads(query.stage, limit + len(query.seen))
    every = np.concatenate(heads)
    rankings = Rankings(every, np.array([*map(len, heads)]), query.unseen(every))
    rows = in_turn(rankings, limit, limit, catalogue.numbering)
    if len(rows):
        return rows
    live = np.flatnonzero(catalogue.live[: len(catalogue)])
    newest: NDArray[np.int64] = live[np.argsort(-catalogue.published_ms[live], kind="stable")]
    return newest[:limit]

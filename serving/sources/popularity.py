"""What everybody touches, with the past decaying, and what people with as short or long a history touch."""

import numpy as np
from numpy.typing import NDArray

from serving.query import Query
from serving.sources.merging import in_turn

FOR_STRANGERS = 4
"""So many times as many where there is no history: hardly any other source finds anything then."""


def retrieve(query: Query, limit: int) -> NDArray[np.int64]:
    """Returns the most popular items by each half life in turn; newest first while nobody did anything yet."""
    limit *= 1 if query.recent else FOR_STRANGERS
    behaviour, catalogue = query.model.behaviour, query.model.catalogue
    heads = behaviour.heads(query.stage, limit + len(query.seen))
    unseen = np.split(query.unseen(np.concatenate(heads)), np.cumsum([*map(len, heads)])[:-1])
    heads = [rows[new][:limit] for rows, new in zip(heads, unseen, strict=True)]
    rows = in_turn(heads, limit, catalogue.numbering)
    if len(rows):
        return rows
    live = np.flatnonzero(catalogue.live[: len(catalogue)])
    newest: NDArray[np.int64] = live[np.argsort(-catalogue.published_ms[live], kind="stable")]
    return newest[:limit]

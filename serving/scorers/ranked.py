"""The learned ranker's scores, split into what each family of features added."""

import numpy as np
from numpy.typing import NDArray

from learning.ranker import Context, Ranker
from serving.features import FAMILIES

_EDGES = np.cumsum([0] + [len(names) for names, _ in FAMILIES.values()])[:-1]


def score(
    ranker: Ranker, candidates: NDArray[np.float32], context: Context
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Returns (C,) scores and the part of each family in them; a candidate's parts add up to its score.

    Args:
        ranker: its columns are serving.features.NAMES.
        candidates: (C, F) standardised, finite features.
        context: the query's.
    """
    by_family = np.add.reduceat(ranker.weighted(candidates, context), _EDGES, axis=1)
    scores: NDArray[np.float32] = by_family.sum(axis=1)
    return scores, {family: by_family[:, at] for at, family in enumerate(FAMILIES)}

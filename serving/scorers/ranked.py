"""What each family of features adds to the learned ranker's scores."""

import numpy as np
from numpy.typing import NDArray

from learning.ranker import Context, Ranker
from serving.features import FAMILIES

_EDGES = np.cumsum([0] + [len(names) for names, _ in FAMILIES.values()])[:-1]


def parts(ranker: Ranker, candidates: NDArray[np.float32], context: Context) -> list[dict[str, float]]:
    """Returns the part of each family in the scores of (C, F) candidates; they add up to it, but for rounding.

    Args:
        ranker: its columns are serving.features.NAMES.
        candidates: (C, F) standardised, finite features.
        context: the query's.
    """
    by_family = np.add.reduceat(ranker.weighted(candidates, context), _EDGES, axis=1)
    return [dict(zip(FAMILIES, one, strict=True)) for one in by_family.tolist()]

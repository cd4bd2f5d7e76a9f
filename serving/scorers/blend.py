"""The blend: a weighted sum of the features, with weights from the settings."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from domain.settings import ServingSettings


def weights(settings: ServingSettings) -> dict[str, float]:
    """Returns the weight of each feature."""
    return {
        "covisitation": settings.weight_covisitation,
        "profile": settings.weight_profile,
        "popularity": settings.weight_popularity,
        "fresh": settings.weight_fresh,
    }


def score(
    features: Mapping[str, NDArray[np.float32]], settings: ServingSettings
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.float32]]]:
    """Returns (C,) scores and the part of each feature in them; the parts of a candidate add up to its score.

    A part that is not finite counts as 0, so a broken feature cannot take a slate over.
    """
    scale = weights(settings)
    parts = {
        name: np.nan_to_num(values * np.float32(scale[name]), nan=0.0, posinf=0.0, neginf=0.0)
        for name, values in features.items()
    }
    total: NDArray[np.float32] = np.stack(list(parts.values())).sum(axis=0)
    return total, parts

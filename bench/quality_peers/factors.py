"""Peers that weigh items against items, or users and items by factors: EASE, item-kNN, ALS, WARP."""
# ruff: noqa: PLC0415 - a peer imports its library when it runs

from collections.abc import Sequence

import numpy as np

from bench.quality_peers.log import Floats, Log, matrix
from bench.quality_peers.peer import SEED, Peer


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

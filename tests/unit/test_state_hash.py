"""The state hash: equal where two runs mean the same, different where an item's text or model does."""

import numpy as np
import pytest

from domain.settings import ServingSettings
from embeddings.exact_index import ExactIndex
from embeddings.item_embedding import from_vector
from serving.read_model import ReadModel
from serving.state_hash import state_hashes

ALONE = np.array([0.6, 0.8], np.float32)
IN_COMPANY = np.array([0.6012, 0.7991], np.float32)


def embeddings_hash(version: str, text: str, vector: np.ndarray) -> str:
    model = ReadModel(ServingSettings(), ExactIndex(2))
    model.catalogue.put_embedding("i", from_vector(version, text, vector))
    return state_hashes(model)["item-embeddings"]


def test_the_same_text_encoded_in_other_company_is_the_same_embedding():
    assert embeddings_hash("m", "a train", ALONE) == embeddings_hash("m", "a train", IN_COMPANY)


@pytest.mark.parametrize(("version", "text"), [("m", "a ship"), ("other", "a train")])
def test_another_text_or_another_model_is_another_embedding(version: str, text: str):
    assert embeddings_hash("m", "a train", ALONE) != embeddings_hash(version, text, ALONE)

"""What replicas compute in NumPy is what was trained in torch."""

import numpy as np
import pytest
import torch

from domain.errors import DimensionMismatch
from learning.sequence.artefact import Artefact, Facts
from learning.sequence.config import SequenceConfig
from learning.sequence.inference import SequenceEncoder
from learning.sequence.model import SequenceModel
from learning.sequence.windows import Windows, collate, cut, flatten

CONFIG = SequenceConfig(width=16, layers=2, heads=2, length=12)
ITEMS, TEXT_WIDTH = 40, 24
FACTS = Facts(ndcg=None, events=1, from_ms=0, until_ms=1, steps=1)


@pytest.fixture(scope="module")
def model() -> SequenceModel:
    """A model of random weights, none of them zero."""
    torch.manual_seed(1)
    model = SequenceModel(CONFIG, ITEMS, TEXT_WIDTH).eval()
    for weight in model.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    return model


@pytest.fixture(scope="module")
def encoder(model) -> SequenceEncoder:
    weights = {name: weight.numpy() for name, weight in model.state_dict().items()}
    return SequenceEncoder(Artefact(CONFIG, [f"i{row}" for row in range(ITEMS)], weights, FACTS))


@pytest.fixture(scope="module")
def texts() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((ITEMS, TEXT_WIDTH)).astype(np.float32) / 5


def in_torch(model, texts, rows, times, now) -> np.ndarray:
    """The vector after the last of `rows`, asked for at `now`, from the batch that training would make of it."""
    log = flatten([(np.append(rows, 0), np.append(times, now))])
    windows = cut(log, CONFIG.length, 1)
    batch = collate(log, Windows(*(column[-1:] for column in windows)))
    vectors = model.item_vectors(torch.from_numpy(texts), model.residual)
    with torch.no_grad():
        return model(vectors[torch.from_numpy(batch.rows)], batch)[0, -1].numpy()


@pytest.mark.parametrize("count", [1, 2, 7, 12, 30])
def test_numpy_equals_torch_for_short_full_and_too_long_histories(model, encoder, texts, count):
    random = np.random.default_rng(count)
    rows, times = random.integers(0, ITEMS, count), np.sort(random.integers(0, 10**10, count))
    vectors = encoder.item_vectors([f"i{row}" for row in range(ITEMS)], texts)
    expected = in_torch(model, texts, rows, times, 10**10 + 5)
    assert np.allclose(encoder.user_vector(vectors[rows], times, 10**10 + 5), expected, atol=1e-3)
    with torch.no_grad():
        expected = model.item_vectors(torch.from_numpy(texts), model.residual).numpy()
    assert np.allclose(vectors, expected, atol=1e-4)


def test_nobody_yet_is_zeros(encoder):
    nobody = encoder.user_vector(np.zeros((0, encoder.width), np.float32), np.zeros(0, np.int64), 0)
    assert nobody.shape == (encoder.width,) and not nobody.any()


def test_an_item_unknown_to_training_is_its_text_alone(model, encoder, texts):
    assert np.allclose(encoder.item_vectors(["new"], texts[:1]), texts[:1] @ model.text.detach().numpy(), atol=1e-5)


def test_texts_of_another_width_are_refused(encoder):
    with pytest.raises(DimensionMismatch):
        encoder.item_vectors(["i1"], np.zeros((1, TEXT_WIDTH + 1), np.float32))

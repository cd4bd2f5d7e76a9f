"""Texts in a byte for each number, beside the float32 that they were made of."""

import numpy as np
import pytest

from embeddings.exact_index import ExactIndex
from serving.texts import PRODUCTS, Texts

D, N = 384, 50


@pytest.fixture
def vectors() -> np.ndarray:
    found = np.random.default_rng(1).standard_normal((N, D)).astype(np.float32)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


@pytest.fixture
def texts(vectors) -> Texts:
    made = Texts(D, N + 10)
    made.put(np.arange(N), vectors)
    return made


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 50])
def test_products_and_means_are_those_of_the_vectors_but_for_rounding(texts, vectors, count):
    chance = np.random.default_rng(count)
    rows = chance.permutation(N)[:count]
    sought = chance.standard_normal((PRODUCTS - 2, D)).astype(np.float32) / np.float32(D**0.5)
    assert texts.products(rows, sought) == pytest.approx(sought @ vectors[rows].T, abs=5e-3)
    usual = chance.random(len(sought)).astype(np.float32)
    assert texts.products(rows, sought, usual) == pytest.approx(sought @ vectors[rows].T - usual[:, None], abs=5e-3)
    weights = chance.uniform(-1, 1, count).astype(np.float32)
    mean, weighted = texts.means(rows, weights)
    assert mean == pytest.approx(vectors[rows].sum(0) / max(1, count), abs=1e-3)
    assert weighted == pytest.approx((weights - weights.sum() / max(1, count)) @ vectors[rows], abs=1e-2)


def test_an_item_without_a_text_has_no_product_with_anything(texts, vectors):
    rows = np.array([0, N + 3, 1])
    assert texts.products(rows, vectors[:1])[0, 1] == 0
    assert texts.products(rows, vectors[:1], np.ones(1, np.float32))[0, 1] == 0
    texts.put(np.array([N + 3]), np.zeros((1, D), np.float32))
    assert texts.products(rows, vectors[:1])[0, 1] == 0


def test_they_keep_what_they_hold_while_they_grow_and_come_back_from_the_index(texts, vectors):
    before = texts.products(np.arange(N), vectors[:3])
    texts.grow(4 * N)
    assert np.array_equal(texts.products(np.arange(N), vectors[:3]), before)
    index = ExactIndex(D)
    index.add(np.arange(N), vectors)
    again = Texts(D, N)
    again.restore(index, N)
    assert np.array_equal(again.codes, texts.codes[:N]) and np.array_equal(again.scales, texts.scales[:N])

"""What the functional tests share: asyncio, and one real text encoder."""

import pytest

from embeddings.transformer import TransformerEncoder


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def encoder() -> TransformerEncoder:
    return TransformerEncoder()

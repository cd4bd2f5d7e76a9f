"""What tests share that run replicas in this process."""

from collections.abc import Iterator

import pytest

from tests.integration.test_models import Loop


@pytest.fixture
def loop() -> Iterator[Loop]:
    running = Loop()
    yield running
    running.close()

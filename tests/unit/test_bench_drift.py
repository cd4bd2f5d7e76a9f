"""The line that the soak draws through its samples."""

import numpy as np
import pytest

from bench.drift import drift

SECONDS = np.arange(0, 900, 2.0)


def test_a_steady_climb_is_told_an_hour_and_its_interval_leaves_out_zero():
    found = drift(SECONDS, 100 + SECONDS / 3600 * 12)
    assert found.slope == pytest.approx(12) and found.is_sure


def test_noise_about_a_level_is_no_drift_in_about_19_of_20_cases():
    sure = [drift(SECONDS, np.random.default_rng(seed).normal(50, 5, len(SECONDS))).is_sure for seed in range(200)]
    assert 2 <= sum(sure) <= 22


def test_what_never_changes_does_not_drift():
    assert not drift(SECONDS, np.full(len(SECONDS), 35.4375)).is_sure


def test_what_happens_in_the_first_quarter_does_not_count():
    assert drift(SECONDS, np.where(SECONDS < 200, SECONDS, 200)).slope == pytest.approx(0, abs=1e-6)


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="are needed"):
        drift(SECONDS[:20], SECONDS[:20])

"""Standard errors are what estimates really vary by, over many samples."""

from __future__ import annotations

import numpy as np
import pytest

from physlm import standard_errors

REPEATS = 600


def test_a_ratio_errs_as_it_says() -> None:
    rng = np.random.default_rng(0)
    values, errors = [], []
    for _ in range(REPEATS):
        counts = rng.integers(1, 6, 200)
        sums = counts * rng.normal(3, 1, 200)  # items of a cluster are alike
        value, error = standard_errors.ratio(sums, counts)
        values.append(value)
        errors.append(error)
    assert np.mean(values) == pytest.approx(3, abs=0.02)
    assert np.mean(errors) == pytest.approx(np.std(values), rel=0.1)


def test_clustered_means_err_as_they_say() -> None:
    rng = np.random.default_rng(1)
    cluster = np.repeat(np.arange(30), 5)
    drawn = [np.repeat(rng.normal(0, 1, 30), 5) + rng.normal(0, 1, 150) for _ in range(REPEATS)]
    found = [standard_errors.clustered_means(values[None], cluster) for values in drawn]
    assert np.mean([error[0] for _, error, _ in found]) == pytest.approx(
        np.std([mean[0] for mean, _, _ in found]), rel=0.1
    )
    assert {groups for _, _, groups in found} == {30}


def test_a_share_is_never_sure_and_clusters_widen_it() -> None:
    none = np.zeros(50, np.bool_)
    assert standard_errors.share(none) > 0
    right = np.repeat(np.arange(40) % 4 == 0, 5)
    alone, together = standard_errors.share(right), standard_errors.share(right, np.repeat(np.arange(40), 5))
    assert together == pytest.approx(alone * 5**0.5, rel=1e-6)


def test_a_mean_of_one_value_has_no_error() -> None:
    assert standard_errors.mean(np.array([2.0])) == (2.0, None)
    assert standard_errors.mean(np.array([1.0, 3.0])) == (2.0, pytest.approx(1.0))

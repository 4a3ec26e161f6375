import math

import numpy as np
import pytest

from scgim import metrics


def test_coverage_counts_ends_as_inside():
    coverage = metrics.interval_coverage([0, 0, 0, 0], [1, 1, 1, 1], [0.0, 1.0, 1.1, -0.1])
    assert coverage == 0.5


def test_coverage_of_marked_entries_only():
    where = [True, True, False]
    assert metrics.interval_coverage([0, 0, 0], [1, 1, 1], [0.5, 2, 2], where=where) == 0.5


def test_rank_correlation_sees_order_only():
    assert metrics.rank_correlation([1, 10, 100], [1, 2, 3]) == pytest.approx(1)
    assert metrics.rank_correlation([3, 2, 1], [1, 5, 9]) == pytest.approx(-1)
    # one swap of neighbours among four: 1 - 6 * 2 / (4 * 15)
    assert metrics.rank_correlation([1, 3, 2, 4], [1, 2, 3, 4]) == pytest.approx(0.8)


def test_constant_estimate_has_no_rank_correlation():
    assert math.isnan(metrics.rank_correlation([2, 2, 2], [1, 2, 3]))


def test_missing_estimate_is_refused():
    with pytest.raises(ValueError, match="`estimated` has 1 values"):
        metrics.rank_correlation([1, float("nan")], [1, 2])


def test_risk_falls_where_uncertainty_knows_the_error():
    curve = metrics.risk_coverage([4.0, 1.0, 1.0], [0.9, 0.1, 0.2])
    np.testing.assert_allclose(curve.coverage, [1 / 3, 2 / 3, 1.0])
    np.testing.assert_allclose(curve.risk, [1.0, 1.0, 2.0])
    assert curve.area == pytest.approx(4 / 3)


def test_uncertainty_without_information_leaves_the_risk_flat():
    curve = metrics.risk_coverage([4.0, 1.0, 1.0], [0.5, 0.5, 0.5])
    np.testing.assert_allclose(curve.risk, 2.0)

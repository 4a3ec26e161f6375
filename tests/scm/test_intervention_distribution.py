from __future__ import annotations

import numpy as np
import pytest
import torch

from scgim.scm import InterventionDistribution, shift_nodes


class OneNormal(InterventionDistribution):
    """One perturbation that shifts one node by a standard normal amount around 3."""

    @property
    def is_uncertain(self):
        return ~self.is_seen

    def mean(self, log10_dose):
        return shift_nodes(torch.full((len(log10_dose), 1), 3.0, dtype=torch.float64))

    def sample(self, log10_dose, n_draws, rng):
        noise = torch.as_tensor(rng.standard_normal((n_draws, len(log10_dose), 1)))
        return shift_nodes(self.mean(log10_dose).shift + noise)

    def sample_log10_ec50(self, n_draws, rng):
        return self.log10_ec50 + rng.standard_normal((n_draws, len(self.log10_ec50)))


@pytest.fixture
def distribution():
    return OneNormal(
        is_seen=np.array([True]),
        is_unknown=np.array([False]),
        n_summands=np.array([1]),
        distance=np.zeros(1),
        log10_ec50=np.zeros(1),
        hill=np.ones(1),
    )


@pytest.mark.parametrize(("level", "half_width"), [(0.5, 0.674), (0.9, 1.645)])
def test_interval_holds_its_share_of_a_normal_distribution(distribution, level, half_width):
    lower, upper = distribution.interval(np.zeros(1), level, n_draws=40_000)
    assert lower.shape == upper.shape == (1, 1)
    np.testing.assert_allclose(
        [lower[0, 0], upper[0, 0]], [3 - half_width, 3 + half_width], atol=0.05
    )


def test_interval_is_the_same_for_the_same_seed(distribution):
    once, again = (distribution.interval(np.zeros(1), seed=7) for _ in range(2))
    np.testing.assert_array_equal(once, again)


def test_a_distribution_must_say_what_it_believes():
    with pytest.raises(TypeError, match="abstract"):
        InterventionDistribution()

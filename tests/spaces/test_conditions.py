from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from scgim.scm import shift_nodes
from scgim.spaces._conditions import Conditions


class TwoInterventions:
    """Two perturbations that shift one node each, the second of them known by features only."""

    is_uncertain = np.array([False, True])
    is_unknown = np.array([False, False])
    n_summands = np.array([1, 2])

    def mean(self, log10_dose):
        strength = torch.as_tensor(np.where(np.isfinite(log10_dose), 1.0, 2.0))
        return shift_nodes(strength[:, None] * torch.eye(2, dtype=torch.float64))

    def sample(self, log10_dose, n_draws, rng):
        noise = torch.as_tensor(rng.standard_normal((n_draws, 2, 2)))
        return shift_nodes(self.mean(log10_dose).shift + noise)


def make(condition=(1, 2)):
    return Conditions(
        obs=pd.DataFrame({"drug": ["vehicle", "A", "B"]}),
        condition=np.array(condition),
        names=["A", "B"],
        log10_dose=np.zeros(2),
        distribution=TwoInterventions(),
    )


def test_a_condition_without_entries_is_the_empty_intervention():
    shift = make().intervention().shift
    np.testing.assert_array_equal(shift, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]])


def test_shifts_of_the_entries_of_one_condition_add():
    np.testing.assert_array_equal(make((2, 2)).intervention().shift[2], [1.0, 1.0])


def test_doses_beyond_all_ec50_are_infinite():
    assert np.isinf(make().at_saturation().log10_dose).all()


def test_only_conditions_with_an_uncertain_entry_are_drawn_cell_by_cell():
    shift = make().of_cells(5, np.random.default_rng(0)).shift
    assert shift.shape == (3, 5, 2)
    assert (shift[1] == torch.tensor([1.0, 0.0])).all()
    assert len(np.unique(shift[2, :, 1])) == 5


def test_without_a_generator_of_noise_every_cell_has_the_mean():
    shift = make().of_cells(5, None).shift
    np.testing.assert_array_equal(shift[2], np.tile([0.0, 1.0], (5, 1)))


def test_the_most_uncertain_entry_of_a_condition_counts():
    assert make((2, 2)).condition_n_summands.tolist() == [1, 1, 2]

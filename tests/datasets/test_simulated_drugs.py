import numpy as np
import pandas as pd
import pytest

from scgim.datasets._simulated_cell import SimulatedCell
from scgim.datasets._simulated_drugs import SimulatedDrugs


@pytest.fixture
def drugs():
    cell = SimulatedCell.draw(np.random.default_rng(0), n_nodes=3, n_genes=20)
    shifts = np.array([[2.0, 0.0, 0.0], [0.0, -1.0, 1.0]])
    return SimulatedDrugs(cell, ["A", "B"], shifts, np.array([0.0, 1.0]))


def conditions(*rows):
    return pd.DataFrame(rows, columns=["drug", "dose"])


def test_half_the_shift_is_reached_at_ec50_and_none_without_a_dose(drugs):
    shift, cut = drugs.interventions(
        conditions(("A", 1.0), ("B", 10.0), ("A", 0.0), ("vehicle", 0.0))
    )
    np.testing.assert_allclose(shift, [[1, 0, 0], [0, -0.5, 0.5], [0, 0, 0], [0, 0, 0]])
    assert not cut.any()


def test_shifts_of_a_combination_add(drugs):
    shift, _ = drugs.interventions(conditions(("A+B", 1e12), ("B+A", 1e12)))
    np.testing.assert_allclose(shift, [[2, -1, 1]] * 2)


def test_hard_drugs_cut_the_parents_of_their_targets(drugs):
    hard = SimulatedDrugs(drugs.cell, drugs.names, drugs.shifts, drugs.log10_ec50, is_hard=True)
    _, cut = hard.interventions(conditions(("A", 1e12), ("B", 10.0)))
    np.testing.assert_allclose(cut, [[1, 0, 0], [0, 0.5, 0.5]])


def test_cells_lie_condition_after_condition(drugs):
    cells = drugs.sample(
        conditions(("vehicle", 0.0), ("A", 5.0)), np.array([2, 3]), np.random.default_rng(0)
    )
    assert cells.obs["drug"].tolist() == ["vehicle"] * 2 + ["A"] * 3
    assert cells.obsm["true_nodes"].shape == (5, 3)


def test_unknown_drug_is_named(drugs):
    with pytest.raises(ValueError, match=r"`conditions` names \['C'\]"):
        drugs.interventions(conditions(("C", 1.0)))

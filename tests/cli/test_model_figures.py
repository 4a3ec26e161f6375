import numpy as np
import pandas as pd
import pytest

from scgim.cli import _model_figures as figures


def _only(folder):
    (item,) = folder.items
    assert len(list((folder.path / "figures").glob("*.png"))) == 1
    return item


def test_training_curve_is_added(folder, model):
    figures.add_training(folder, model)
    assert _only(folder).title == "Training"
    assert (folder.path / "figures" / "training.png").exists()


def test_targets_are_counted_in_the_description(folder, model):
    figures.add_targets(folder, model.get_intervention_targets())
    assert "2 perturbations on 2 nodes, with 2 targets marked" in _only(folder).description


def test_truth_beside_the_targets_is_explained(folder, model):
    truth = pd.DataFrame([[1.0], [0.0]], index=["A", "B"], columns=["node_0"])
    figures.add_targets(folder, model.get_intervention_targets(), truth)
    assert "Right: truth" in _only(folder).note


def test_edges_are_listed_for_readers_who_do_not_see_the_graph(folder, model):
    figures.add_graph(folder, model.get_causal_graph())
    assert "program_1 to program_0 (+0.80)" in _only(folder).description


def test_graph_without_edges_says_none(folder, model):
    figures.add_graph(folder, model.get_causal_graph() * 0)
    assert _only(folder).description.endswith("Edges: none.")


def test_dose_response_is_added(folder, model):
    figures.add_dose_response(folder, model.get_dose_response([0.1, 1.0]))
    assert "A, B" in _only(folder).description


def test_first_gene_of_each_program_is_named(folder, model):
    figures.add_programs(folder, model.get_gene_programs())
    assert "program_0: g1, program_1: g2" in _only(folder).description


def test_doses_are_spread_over_the_measured_range_without_zero():
    grid = figures.dose_grid(pd.Series([0.0, 0.01, 100.0, 1.0]))
    assert (grid[0], grid[-1]) == pytest.approx((0.01, 100.0))
    ratios = np.exp(np.diff(np.log(grid)))
    np.testing.assert_allclose(ratios, ratios[0])

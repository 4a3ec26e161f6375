import numpy as np
import pytest

from scgim.benchmark._target_rankings import (
    known_targets,
    prepare_screen,
    profile_rankings,
    score_rankings,
    select_panel,
    to_count_screen,
)
from scgim.scm import compute_expression_evidence


def test_panel_has_all_known_targets_and_no_gene_without_counts(knock_outs):
    assert select_panel(knock_outs, None).tolist() == [0, 1, 2, 3, 4]
    assert select_panel(knock_outs, 1).tolist() == [0, 1, 2]


def test_perturbations_are_coded_and_controls_are_minus_one(knock_outs):
    screen = prepare_screen(knock_outs, np.arange(5))
    counts = to_count_screen(screen, ["gene_0", "gene_1", "gene_2"])
    assert (counts.perturbation[:400] == -1).all()
    assert counts.perturbation[-1] == 2
    assert np.median(counts.size_factor) == pytest.approx(1.0)


def test_all_control_cells_get_one_label_and_cells_without_counts_go(knock_outs):
    cells = knock_outs.copy()
    cells.obs["perturbation"] = cells.obs["perturbation"].replace({"control": "guide 1"})
    cells.X[:3, 0] = 0
    screen = prepare_screen(cells, np.array([0]))
    has_counts = cells.X[:, 0] > 0
    assert screen.n_obs == has_counts.sum() < cells.n_obs
    is_control = cells.obs["is_control"][has_counts]
    assert ((screen.obs["perturbation"] == "control") == is_control).all()
    np.testing.assert_array_equal(screen.obs["depth"], cells.X.sum(axis=1)[has_counts])


def test_ranks_of_ties_are_in_the_middle():
    is_target = np.array([[True, False, False, False]])
    table = score_rankings(
        {"flat": np.zeros((1, 4)), "right": np.array([[1.0, 0, 0, 0]])},
        is_target,
        np.random.default_rng(0),
        n_resamples=5,
    ).set_index("method")
    assert table.loc["flat", "mrr"] == pytest.approx(1 / 2.5)
    assert table.loc["right", "recall_at_1"] == 1.0


def test_known_targets_are_read_by_name(knock_outs):
    found = known_targets(knock_outs, ["gene_1", "gene_0"], ["gene_0", "gene_1", "gene_5"])
    assert found.tolist() == [[False, True, False], [True, False, False]]


def test_profiles_are_ranked_by_every_baseline():
    rng = np.random.default_rng(0)
    profiles, control = 1.0 + 0.05 * rng.random((4, 4)), np.ones(4)
    profiles[np.arange(4), np.arange(4)] = 0.0
    evidence = compute_expression_evidence(np.vstack([control[None], profiles]), np.arange(-1, 4))
    rankings = profile_rankings(profiles, control, evidence.marginal)
    assert len(rankings) == 8
    for name, score in rankings.items():
        assert (score.argmax(axis=1) == np.arange(4)).all(), name

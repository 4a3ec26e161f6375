import numpy as np
import pandas as pd
import pytest
import torch


def _expression(model, conditions=(("drug_a", 10.0), ("drug_x", 10.0))):
    return model.predict_shift(list(conditions)).X


@pytest.fixture
def fresh(make, trained):
    return trained(make(30), max_epochs=4)


def test_fixing_the_gauge_changes_no_prediction_of_seen_perturbations(fresh):
    noise = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))

    def log_rates():
        with torch.no_grad():
            return fresh.module.decoder(fresh.module.mechanism.solve(noise), None)

    control, before = log_rates(), _expression(fresh, [("drug_a", 10.0), ("drug_c", 100.0)])
    shift = fresh.module.interventions.shift.detach().clone()
    fresh.fix_gauge(n_starts=2)
    rotation = torch.as_tensor(
        np.linalg.lstsq(
            shift.reshape(-1, 3).double().numpy(),
            fresh.module.interventions.shift.detach().reshape(-1, 3).double().numpy(),
            rcond=None,
        )[0]
    ).float()
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3), atol=0.02, rtol=0)
    noise = noise @ rotation
    assert (log_rates() - control).abs().max() < 0.05
    after = _expression(fresh, [("drug_a", 10.0), ("drug_c", 100.0)])
    assert np.abs(after - before).max() < 0.05


def test_bases_that_were_found_are_remembered_by_cost(model):
    costs = model.fitted.gauge["costs"]
    assert (np.diff(costs[1:]) >= 0).all()
    assert costs[0] <= costs.min() + 0.02 * abs(costs.min())
    assert model.fitted.gauge["near_ties"].shape[1:] == (3, 3)


def test_a_program_mask_keeps_its_nodes(make, trained):
    adata = make(31)
    mask = np.eye(3, dtype=int).repeat(8, 0)
    adata.varm["mask"] = pd.DataFrame(mask, index=adata.var_names, columns=["p", "q", "r"])
    model = trained(adata, setup={"program_mask_key": "mask"})
    before = model.module.mechanism.adjacency.detach().clone()
    model.fix_gauge()
    assert torch.equal(model.module.mechanism.adjacency, before)


def test_generator_report_says_how_well_features_predict(model):
    report = model.get_generator_report(n_permutations=9)
    assert 0 <= report.feature_use <= 1
    assert 0.1 <= report.p_value <= 1
    assert "generator" in report.left_out_r2


def test_a_model_without_features_has_no_generator_to_report_on(plain_model):
    with pytest.raises(RuntimeError, match="no `features_key` was given"):
        plain_model.get_generator_report()


def test_too_few_perturbations_give_no_generator(make, trained):
    model = trained(make(32, drugs=("drug_a", "drug_b", "drug_c"), combination=False))
    message = (
        r"^This model cannot predict unseen perturbations: the screen has only 3 perturbations and "
        r"at least 4 are needed\. Register a screen with perturbation features and train again\.$"
    )
    with pytest.raises(RuntimeError, match=message):
        model.predict([("drug_x", 1.0)])


def test_interventions_are_learned_from_all_cells_not_only_those_trained_on(model, screen):
    n_cells = model.interventions.statistics.n_cells.sum()
    is_single = ~screen.obs.drug.isin(["vehicle", "drug_a+drug_b"])
    assert n_cells == is_single.sum()


def test_rows_of_the_table_are_the_posterior_ones(model):
    table, rows = model.module.interventions, model.interventions.effects
    np.testing.assert_allclose(
        table.saturating_shift.detach().numpy(), rows.shift, rtol=1e-5, atol=1e-6
    )
    np.testing.assert_allclose(table.log10_ec50.detach().numpy(), rows.log10_ec50, rtol=1e-5)


def test_a_screen_of_one_combination_only_can_be_trained(make, trained):
    adata = make(33)
    adata = adata[adata.obs.drug.isin(["vehicle", "drug_a+drug_b"])].copy()
    model = trained(adata)
    assert model.screen.table.perturbations == ("drug_a", "drug_b")
    assert np.isfinite(_expression(model, [("drug_a+drug_b", 10.0)])).all()


def test_perturbations_run_in_combination_only_keep_what_training_learned(make, trained):
    adata = make(34, n_cells=20)
    adata = adata[~adata.obs.drug.isin(["drug_a", "drug_b"])].copy()
    model = trained(adata, setup={"features_key": None}, max_epochs=40)
    together = model.predict([("drug_a+drug_b", 100.0)], n_cells=1, seed=0, output="nodes").X
    control = model.predict([("vehicle", 0.0)], n_cells=1, seed=0, output="nodes").X
    assert np.abs(together - control).max() > 0.3

import numpy as np
import pandas as pd
import pytest

N_GENES = 24


@pytest.fixture(scope="module")
def table(model):
    return model.predict_differential_expression(
        [("drug_a", 100.0), ("drug_x", 100.0), ("drug_a", 0.01)], n_cells=200
    )


def test_the_genes_of_the_moved_program_are_called(table):
    top = table[(table.drug == "drug_a") & (table.dose == 100.0)]
    moved = {f"gene_{i}" for i in range(8)}
    assert set(top.lfc_mean.nlargest(8).index) == moved
    assert (top.loc[sorted(moved), "lfc_mean"] > 0.5).all()
    assert top.loc[sorted(moved), "is_de_fdr_0.05"].all()


def test_a_perturbation_that_was_not_run_is_tested_too(table):
    unseen = table[table.drug == "drug_x"]
    assert len(unseen) == N_GENES
    assert not unseen.is_seen.any()
    assert unseen.proba_de.between(0, 1).all()


def test_hardly_any_dose_changes_nothing(table):
    low = table[table.dose == 0.01]
    assert not low["is_de_fdr_0.05"].any()
    assert np.abs(low.lfc_mean).max() < 0.1


def test_the_control_is_no_different_from_itself(model):
    table = model.predict_differential_expression([("vehicle", 0.0)], n_cells=50)
    np.testing.assert_array_equal(table.lfc_mean, 0)


def test_what_is_known_badly_is_called_more_rarely(model):
    # the same drug, once as it was measured and once as if only its features were known
    features = model.screen.table.features.loc[["drug_a"]].rename({"drug_a": "twin"})
    tables = model.predict_differential_expression(
        [("drug_a", 100.0), ("twin", 100.0)], features=features, n_cells=400
    )
    spread = tables.groupby("drug", observed=True).lfc_std.mean()
    assert spread["twin"] > spread["drug_a"]


def test_columns_are_those_of_the_host(model, table):
    observed = model.differential_expression(
        groupby="drug",
        group1="drug_a",
        group2="vehicle",
        mode="change",
        all_stats=False,
        silent=True,
    )
    shared = set(observed.columns) - {"comparison", "group1", "group2"}
    assert shared <= set(table.columns)


def test_the_same_seed_gives_the_same_table_and_the_random_state_is_left_alone(model):
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - the state that must not change
    first, second = (
        model.predict_differential_expression([("drug_b", 10.0)], n_cells=50, seed=3)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.lfc_mean, second.lfc_mean)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_normal_likelihood_is_tested_by_differences(make, trained):
    adata = make(4)
    adata.X = np.log1p(adata.X.toarray())
    model = trained(adata, model={"gene_likelihood": "normal"}, max_epochs=30)
    table = model.predict_differential_expression([("drug_a", 100.0)], n_cells=50)
    assert np.isfinite(table.lfc_mean).all()
    shift = model.predict_shift([("drug_a", 100.0)]).to_df().iloc[0]
    assert np.corrcoef(shift[table.index], table.lfc_mean)[0, 1] > 0.9


def test_batches_are_those_asked_for(covariate_model):
    frame = pd.DataFrame({"drug": "drug_a", "dose": 10.0, "lane": ["lane_1", "lane_2"]})
    table = covariate_model.predict_differential_expression(frame, n_cells=20)
    assert table.lane.value_counts().to_dict() == {"lane_1": N_GENES, "lane_2": N_GENES}

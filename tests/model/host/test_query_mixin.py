import re

import numpy as np
import pandas as pd
import pytest

from scgim.model import GIM

TRAIN = {"accelerator": "cpu", "enable_progress_bar": False}
SEEN = [("drug_b", 10.0), ("drug_a+drug_c", 1.0), ("vehicle", 0.0)]


@pytest.fixture(scope="module")
def reference(make, trained):
    setup = {"batch_key": "lane", "categorical_covariate_keys": ["donor"]}
    return trained(make(), setup=setup, max_epochs=60, fix_gauge=True)


@pytest.fixture(scope="module")
def query(make):
    """New lane, one known drug, and one new drug whose name comes before all others."""
    adata = make(11, drugs=("drug_a", "a_new_drug"), combination=False, n_control=30, n_cells=10)
    adata.obs["lane"] = pd.Categorical(["lane_9"] * adata.n_obs)
    return adata


@pytest.fixture(scope="module")
def mapped(reference, query):
    model = GIM.load_query_data(query.copy(), reference)
    model.train(20, **TRAIN)
    return model


def test_known_perturbations_keep_their_rows_and_new_ones_come_behind(reference, mapped):
    known = reference.screen.table.perturbations
    assert mapped.screen.table.perturbations == (*known, "a_new_drug")
    assert mapped.screen.batches == ("lane_1", "lane_2", "lane_9")


def test_graph_and_programs_are_those_of_the_reference(reference, mapped):
    pd.testing.assert_frame_equal(mapped.get_causal_graph(), reference.get_causal_graph())
    pd.testing.assert_frame_equal(mapped.get_gene_programs(), reference.get_gene_programs())


def test_the_reference_is_not_changed(reference, query, mapped):
    before = {key: value.clone() for key, value in reference.module.state_dict().items()}
    assert reference.is_trained_
    assert len(reference.screen.table.perturbations) == 5
    GIM.load_query_data(query.copy(), reference).train(1, **TRAIN)
    for key, value in reference.module.state_dict().items():
        assert value.equal(before[key]), key


def test_before_training_known_rows_are_those_of_the_reference(reference, query):
    mapped = GIM.load_query_data(query.copy(), reference)
    assert not mapped.is_trained_
    shift = reference.module.interventions.shift
    assert mapped.module.interventions.shift[: len(shift)].equal(shift)


def test_cells_of_training_are_encoded_as_before(reference, mapped, make):
    nodes = mapped.get_latent_representation(make())
    np.testing.assert_allclose(nodes, reference.get_latent_representation(make()), rtol=1e-5)


def test_the_target_of_the_new_drug_is_found(mapped):
    # a_new_drug moves the program of the second and fifth drug of the reference.
    targets = mapped.get_intervention_targets()
    best = targets.loc[targets.groupby("perturbation").evidence.idxmax()]
    node = best.set_index("perturbation").node
    assert node["a_new_drug"] == node["drug_b"] == node["drug_e"]
    assert mapped.screen.dose_range("a_new_drug") == (0.1, 100.0)
    assert mapped.predict([("a_new_drug", 1.0)], n_cells=1).obs.is_seen.all()


def test_estimates_rest_on_the_cells_of_training_and_the_new_ones(reference, mapped):
    def cells(model):
        statistics = model.fitted.statistics
        codes = {label: code for code, label in enumerate(model.screen.table.labels)}
        chosen = (statistics.label == codes["drug_a"]) & (statistics.dose == 10.0)
        return statistics.n_cells[chosen].tolist()

    assert cells(reference) == [5]
    assert cells(mapped) == [15]


def test_a_mapped_model_is_saved_and_loaded(mapped, query, tmp_path):
    mapped.save(tmp_path / "mapped", safe=True)
    loaded = GIM.load(tmp_path / "mapped", adata=query.copy())
    conditions = [*SEEN, ("a_new_drug", 1.0)]
    np.testing.assert_array_equal(
        loaded.predict(conditions, n_cells=3, seed=0).X.toarray(),
        mapped.predict(conditions, n_cells=3, seed=0).X.toarray(),
    )


@pytest.mark.parametrize("safe", [False, True])
def test_a_reference_can_be_a_folder(reference, query, tmp_path, safe):
    reference.save(tmp_path / "gim", safe=safe)
    mapped = GIM.load_query_data(query.copy(), tmp_path / "gim", safe=safe)
    assert mapped.screen.table.perturbations[-1] == "a_new_drug"


def test_nothing_new_needs_no_training(reference, make):
    mapped = GIM.load_query_data(make(12), reference)
    assert mapped.is_trained_
    np.testing.assert_array_equal(
        mapped.predict(SEEN, n_cells=3, seed=0).X.toarray(),
        reference.predict(SEEN, n_cells=3, seed=0).X.toarray(),
    )


def test_more_cells_of_known_perturbations_narrow_their_rows(reference, make):
    mapped = GIM.load_query_data(make(12, n_cells=40), reference)
    mapped.train(1, **TRAIN)

    def width(model):
        table = model.get_intervention_targets()
        return (table.upper - table.lower).mean()

    assert width(mapped) < width(reference)


def test_a_screen_without_doses_can_be_mapped(plain_model, make):
    cells = make(13, drugs=("drug_a", "new"), doses=(100.0,), combination=False, n_cells=12)
    del cells.uns["drug_features"]
    mapped = GIM.load_query_data(cells, plain_model)
    mapped.train(2, **TRAIN)
    assert len(mapped.fitted.statistics.label) == len(plain_model.fitted.statistics.label) + 1
    assert mapped.predict(["new"], n_cells=2).n_obs == 2


def test_a_free_dose_response_can_be_mapped_on_new_doses(trained, make):
    reference = trained(make(), model={"dose_response": "free"})
    cells = make(14, drugs=("drug_a", "drug_z"), doses=(0.5, 5.0), combination=False)
    mapped = GIM.load_query_data(cells, reference)
    mapped.train(1, **TRAIN)
    assert mapped.module.interventions.shift.shape == (6, 4, 3)


def test_everything_may_learn_when_asked(reference, query):
    mapped = GIM.load_query_data(query.copy(), reference, unfrozen=True)
    assert all(parameter.requires_grad for parameter in mapped.module.parameters())


def test_a_new_drug_without_features_is_named(reference, query):
    cells = query.copy()
    cells.uns["drug_features"] = cells.uns["drug_features"].drop("a_new_drug")
    with pytest.raises(ValueError, match="Perturbation 'a_new_drug' of the new cells has no feat"):
        GIM.load_query_data(cells, reference)


def test_another_spelling_of_a_known_drug_is_not_a_new_one(reference, query):
    cells = query.copy()
    cells.obs["drug"] = cells.obs["drug"].cat.rename_categories({"drug_a": "Drug_A"})
    before = list(cells.obs)
    message = (
        "`adata.obs['drug']` of training and new cells has 'drug_a' and 'Drug_A', which differ in "
        "upper case or blanks only and would be two perturbations. Give them one label or, if "
        "they are two, names that differ in more."
    )
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        GIM.load_query_data(cells, reference)
    assert list(cells.obs) == before

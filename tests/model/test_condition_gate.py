import numpy as np
import pandas as pd
import pytest

from scgim.model._condition_gate import WRITTEN_COLUMNS

OTHER = pd.DataFrame({"drug": ["drug_a"], "dose": [10.0], "cell line": ["A549"]})


@pytest.fixture(scope="module")
def control(screen):
    return screen[screen.obs.drug == "vehicle"].copy()


@pytest.fixture(scope="module")
def lane_model(make, trained):
    """Two lanes whose first eight genes differ tenfold."""
    adata = make(3)
    counts = adata.X.toarray()
    counts[(adata.obs.lane == "lane_2").to_numpy(), :8] *= 10
    adata.X = type(adata.X)(counts)
    return trained(adata, setup={"batch_key": "lane"}, max_epochs=60)


@pytest.mark.parametrize("method", ["predict", "predict_shift", "predict_differential_expression"])
def test_a_column_that_the_model_does_not_use_is_refused(model, method):
    with pytest.raises(
        ValueError, match=r"columns that the model does not use: 'cell line'.*ignore"
    ):
        getattr(model, method)(OTHER)


@pytest.mark.parametrize("ignore", ["cell line", ["cell line"]])
def test_a_column_that_is_to_be_ignored_is_carried_along_without_effect(model, ignore):
    asked = pd.concat([OTHER, OTHER.assign(**{"cell line": "HeLa"})])
    shift = model.predict_shift(asked, ignore=ignore)
    assert shift.obs["cell line"].tolist() == ["A549", "HeLa"]
    np.testing.assert_array_equal(shift.X[0], shift.X[1])


def test_what_the_model_uses_cannot_be_ignored(model):
    with pytest.raises(ValueError, match=r"`ignore` names 'dose', which the model was set up with"):
        model.predict(OTHER, ignore=["cell line", "dose"])


def test_a_continuous_covariate_cannot_be_asked_for(covariate_model):
    asked = pd.DataFrame({"drug": ["drug_a"], "dose": [1.0], "age": [40.0]})
    with pytest.raises(ValueError, match="takes continuous covariates from the control cells"):
        covariate_model.predict(asked)


def test_a_column_may_be_named_once_only(model):
    asked = pd.concat([OTHER[["drug", "dose"]], OTHER[["dose"]] * 2], axis=1)
    with pytest.raises(ValueError, match="several columns named 'dose'"):
        model.predict(asked)


def test_what_a_prediction_wrote_can_be_asked_for_again(model):
    shift = model.predict_shift([("drug_a", 1.0)])
    again = model.predict_shift(shift.obs)
    assert set(WRITTEN_COLUMNS) < set(shift.obs)
    pd.testing.assert_frame_equal(shift.obs, again.obs)


def test_the_user_keeps_the_conditions_as_they_were(model):
    asked = OTHER[["drug", "dose"]].copy()
    model.predict(asked, n_cells=2)
    pd.testing.assert_frame_equal(asked, OTHER[["drug", "dose"]])


def test_what_is_left_open_is_written_down(covariate_model):
    predicted = covariate_model.predict([("drug_a", 1.0)], n_cells=40, seed=0)
    assert set(predicted.obs.lane) == {"lane_1", "lane_2"}
    assert set(predicted.obs.donor) == {"x", "y", "z"}
    ages = covariate_model.adata.obs.age.to_numpy()
    assert np.abs(predicted.obs.age.to_numpy()[:, None] - ages).min(1).max() < 1e-6


def test_what_was_drawn_is_what_the_cells_are(lane_model):
    open_ = lane_model.predict([("drug_a", 1.0)], n_cells=300, output="normalized", seed=0)
    others = pd.Series(open_.X[:, 8:].sum(1)).groupby(open_.obs.lane.to_numpy()).mean()
    assert others["lane_1"] > 1.1 * others["lane_2"]


def test_a_missing_value_leaves_its_row_open(lane_model):
    asked = pd.DataFrame({"drug": "drug_a", "dose": 1.0, "lane": ["lane_1", None]})
    predicted = lane_model.predict(asked, n_cells=50, seed=0).obs
    assert set(predicted.lane[:50]) == {"lane_1"}
    assert set(predicted.lane[50:]) == {"lane_1", "lane_2"}


def test_an_intervention_by_hand_says_what_it_drew(covariate_model):
    node = covariate_model.node_names_[0]
    done = covariate_model.do({node: 1.0}, n_cells=40, seed=0)
    assert {"lane", "donor", "age"} <= set(done.obs)


def test_a_mean_shift_names_what_it_is_averaged_over(covariate_model):
    asked = pd.DataFrame({"drug": ["drug_a"], "dose": [1.0], "lane": ["lane_1"]})
    assert covariate_model.predict_shift(asked).uns["scgim"]["averaged_over"] == ["donor"]


def test_given_cells_are_predicted_for_the_conditions_of_their_batch(lane_model):
    cells = lane_model.adata[lane_model.adata.obs.drug == "vehicle"].copy()
    asked = pd.DataFrame({"drug": "drug_a", "dose": 1.0, "lane": ["lane_1", "lane_2"]})
    predicted = lane_model.predict(asked, adata=cells, seed=0)
    assert predicted.n_obs == cells.n_obs
    measured = cells.obs.lane.astype(str).loc[predicted.obs.control_cell]
    assert predicted.obs.lane.tolist() == measured.tolist()


def test_conditions_without_a_given_cell_are_left_out_and_listed(lane_model):
    cells = lane_model.adata[
        (lane_model.adata.obs.drug == "vehicle") & (lane_model.adata.obs.lane == "lane_1")
    ].copy()
    asked = pd.DataFrame({"drug": "drug_a", "dose": 1.0, "lane": ["lane_1", "lane_2"]})
    with pytest.warns(UserWarning, match=r"'lane=lane_2', but no cell in `adata` has it"):
        predicted = lane_model.predict(asked, adata=cells, seed=0)
    assert set(predicted.obs.lane) == {"lane_1"}
    assert predicted.uns["scgim"]["abstained"].lane.tolist() == ["lane_2"]
    with pytest.raises(ValueError, match="Pass control cells of these"):
        lane_model.predict(asked[1:], adata=cells)


def predict(model, cells, **given):
    return model.predict([("drug_a", 1.0)], adata=cells, **given)


def do(model, cells, **given):
    return model.do({model.node_names_[0]: 1.0}, adata=cells, **given)


@pytest.mark.parametrize("perturb", [predict, do])
def test_perturbed_cells_are_perturbed_again_only_when_told_so(model, screen, perturb):
    treated = screen[screen.obs.drug.isin(["vehicle", "drug_b"])].copy()
    with pytest.raises(
        ValueError, match=r"20 of the 80 cells in `adata` are perturbed by 'drug_b'"
    ):
        perturb(model, treated)
    predicted = perturb(model, treated, allow_perturbed=True)
    assert predicted.obs.base_perturbation.value_counts().to_dict() == {"vehicle": 60, "drug_b": 20}


def test_cells_that_nothing_says_to_be_control_are_refused(model, control):
    bare = control.copy()
    del bare.obs["drug"]
    with pytest.raises(ValueError, match=r"has no column 'drug', so nothing says"):
        model.predict([("drug_a", 1.0)], adata=bare)

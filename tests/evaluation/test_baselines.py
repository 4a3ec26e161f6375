import anndata as ad
import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import _baselines, _simple_baselines
from scgim.evaluation._training_screen import ScreenKeys, TrainingScreen
from scgim.metrics import shift_r2

WITHOUT_FEATURES = (_simple_baselines.NoEffect, _simple_baselines.SameDoseMean)
ON_FEATURES = {
    "nearest drug": _baselines.NearestPerturbation,
    "3 nearest drugs": lambda: _baselines.NearestPerturbation(3),
    "ridge": _baselines.RidgeOnFeatures,
    "bilinear": _baselines.BilinearOnFeatures,
    "MLP ensemble": _baselines.MLPEnsemble,
    "generator on PCA": _baselines.GeneratorOnComponents,
}
ALL = {make.name: make for make in WITHOUT_FEATURES} | ON_FEATURES


@pytest.fixture(scope="module")
def fitted(screen):
    predictors = {name: make() for name, make in ALL.items()}
    assert all(predictor.name == name for name, predictor in predictors.items())
    for predictor in predictors.values():
        predictor.fit(screen)
    return predictors


@pytest.mark.parametrize("name", ALL)
def test_control_and_dose_zero_are_not_moved(fitted, conditions, name):
    shift = fitted[name].predict_shift(conditions(("vehicle", 0.0), ("drug_00", 0.0)))
    np.testing.assert_array_equal(shift, 0)


@pytest.mark.parametrize("name", ALL)
def test_combination_moves_by_the_sum_of_its_parts(fitted, conditions, name):
    asked = conditions(("drug_03+drug_01", 3.0), ("drug_01", 3.0), ("drug_03", 3.0))
    shift = fitted[name].predict_shift(asked)
    np.testing.assert_allclose(shift[0], shift[1] + shift[2], atol=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_cells_are_control_cells_moved_by_the_shift(fitted, screen, conditions, name):
    asked = conditions(("drug_35", 10.0), ("drug_00", 10.0))
    cells = fitted[name].predict_cells(asked, 30, seed=2)
    assert cells.shape == (2, 30, screen.adata.n_vars)
    unmoved = cells - fitted[name].predict_shift(asked)[:, None, :].astype(np.float32)
    control = screen.expression[screen.is_control]
    nearest = np.abs(unmoved[0, 0] - control).max(axis=1).min()
    assert nearest < 1e-5
    np.testing.assert_array_equal(cells, fitted[name].predict_cells(asked, 30, seed=2))


def test_feature_baselines_predict_unseen_drugs_better_than_no_effect(fitted, world):
    unseen = world.held_out.query("split == 'unseen_drug' and dose > 0.1")
    truth = world.expected_shift(unseen, n_cells=300)
    for name in ON_FEATURES:
        assert shift_r2(fitted[name].predict_shift(unseen), truth) > 0.4


def test_nearest_perturbation_copies_the_most_similar_one_at_the_same_dose(tiny, conditions):
    predictor = _baselines.NearestPerturbation()
    predictor.fit(tiny)
    shift = predictor.predict_shift(conditions(("like A", 10.0), ("like A", 1.0), ("B", 1.0)))
    np.testing.assert_allclose(shift, tiny.shift[[1, 0, 2]])


def test_held_out_dose_of_a_seen_drug_is_not_copied_from_itself(tiny, conditions):
    obs = tiny.adata.obs
    kept = ~((obs["drug"] == "B") & (obs["dose"] == 10.0))
    screen = TrainingScreen(tiny.adata[kept.to_numpy()].copy())
    predictor = _baselines.NearestPerturbation()
    predictor.fit(screen)
    shift = predictor.predict_shift(conditions(("B", 10.0)))
    np.testing.assert_allclose(shift[0], screen.shift[1])  # A at the same dose


def test_unknown_drug_is_named(fitted, conditions):
    with pytest.raises(ValueError, match="'drug_99' have no row of features"):
        fitted["ridge"].predict_shift(conditions(("drug_99", 1.0)))


def test_asking_before_fitting_is_refused(conditions):
    with pytest.raises(RuntimeError, match="The predictor 'ridge' has not been fitted"):
        _baselines.RidgeOnFeatures().predict_shift(conditions(("drug_00", 1.0)))


def test_without_features_each_says_so_and_predicts_nothing(tiny, conditions):
    screen = TrainingScreen(tiny.adata, ScreenKeys(features=None))
    asked = conditions(("A", 2.0))
    for make in ON_FEATURES.values():
        predictor = make()
        predictor.fit(screen)
        assert predictor.why_not(asked) == ["the screen has no features of perturbations"]
        assert np.isnan(predictor.predict_shift(asked)).all()


def test_too_few_perturbations_are_counted(tiny, conditions):
    predictor = _baselines.GeneratorOnComponents()
    predictor.fit(tiny)
    reason = "2 perturbations in training, at least 4 are needed"
    assert predictor.why_not(conditions(("A", 2.0))) == [reason]


def test_fingerprints_are_compared_by_tanimoto_similarity(tiny, conditions):
    adata = tiny.adata.copy()
    adata.uns["drug_features"] = pd.DataFrame(
        [[1, 0, 0, 0, 0, 0], [1, 1, 1, 1, 1, 0], [1, 1, 1, 0, 0, 0]],
        index=["A", "B", "like A"],
        columns=[f"bit{i}" for i in range(6)],
    )
    predictor = _baselines.NearestPerturbation()
    predictor.fit(TrainingScreen(adata))
    shift = predictor.predict_shift(conditions(("like A", 10.0)))
    # Tanimoto: A 1/3, B 3/5; Euclidean distance is the same to both
    np.testing.assert_allclose(shift[0], TrainingScreen(adata).shift[3])


def test_two_nearest_are_weighted_by_inverse_tanimoto_distance(tiny, conditions):
    adata = tiny.adata.copy()
    adata.uns["drug_features"] = pd.DataFrame(
        [[1, 0, 0, 0, 0], [1, 1, 1, 1, 1], [1, 1, 1, 0, 0]],
        index=["A", "B", "like A"],
        columns=[f"bit{i}" for i in range(5)],
    )
    screen = TrainingScreen(adata)
    predictor = _baselines.NearestPerturbation(5)  # there are only two
    predictor.fit(screen)
    shift = predictor.predict_shift(conditions(("like A", 10.0)))
    # Tanimoto distance 2/3 to A and 2/5 to B
    expected = (1.5 * screen.shift[1] + 2.5 * screen.shift[3]) / 4.0
    np.testing.assert_allclose(shift[0], expected)


def test_bilinear_is_the_closed_form_of_its_paper(screen, conditions):
    predictor = _baselines.BilinearOnFeatures()
    predictor.fit(screen)
    shift = screen.shift.T
    mean = shift.mean(axis=1, keepdims=True)
    centered = shift - shift.mean(axis=0)
    left, values, _ = np.linalg.svd(centered, full_matrices=False)
    genes = left[:, :10] * values[:10]
    table = predictor._table(screen)
    assert table.shape[1] <= 10
    log10_dose = np.log10(screen.conditions["dose"].to_numpy())
    dose = (log10_dose - log10_dose.mean()) / log10_dose.std()
    embedded = table.loc[screen.conditions["perturbation"]].to_numpy()
    design = np.column_stack([dose, dose**2, embedded, dose[:, None] * embedded])

    def gram(matrix):
        return matrix.T @ matrix + 0.1 * np.eye(matrix.shape[1])

    middle = np.linalg.solve(gram(genes), genes.T @ (shift - mean) @ design)
    middle = np.linalg.solve(gram(design), middle.T).T
    expected = (mean + genes @ middle @ design.T).T
    asked = screen.conditions[["perturbation", "dose"]].rename(columns={"perturbation": "drug"})
    np.testing.assert_allclose(predictor.predict_shift(asked), expected, atol=1e-8)


def test_ridge_learns_that_contexts_differ(conditions):
    rng = np.random.default_rng(0)
    rows, counts = [], []
    for context, gene in (("one", 0), ("two", 1)):
        for drug in ("control", "A", "B", "C"):
            for _ in range(20):
                mean = np.array([50.0, 50.0, 50.0])
                mean[gene] += 0.0 if drug == "control" else 100.0
                rows.append((drug, context))
                counts.append(rng.poisson(mean))
    obs = pd.DataFrame(rows, columns=["drug", "line"])
    adata = ad.AnnData(np.array(counts, dtype=np.float32), obs=obs.set_index(obs.index.astype(str)))
    adata.uns["features"] = pd.DataFrame({"x": [0.0, 1.0, 2.0]}, index=["A", "B", "C"])
    keys = ScreenKeys("drug", "control", dose=None, features="features", context="line")
    predictor = _baselines.RidgeOnFeatures()
    predictor.fit(TrainingScreen(adata, keys))
    asked = pd.DataFrame({"drug": ["A", "A"], "line": ["one", "two"]})
    assert predictor.predict_shift(asked).argmax(axis=1).tolist() == [0, 1]

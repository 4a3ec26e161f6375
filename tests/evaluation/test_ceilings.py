import numpy as np
import pandas as pd
import pytest

from scgim.evaluation import GIMPredictor, ScoringSettings, ScreenKeys, TrainedGIM, split
from scgim.evaluation._ceilings import GIMCeilings, score_duplicate
from scgim.evaluation._evaluate import prepare
from scgim.evaluation._scoring import METRICS, Scorer


@pytest.fixture(scope="module")
def scorer(small_world):
    """Top doses: the session's model has seen these drugs at other doses."""
    adata = small_world.screen()
    settings = ScoringSettings(n_genes=20)
    return Scorer(*prepare(adata, split(adata, "top_dose", fraction=0.5), settings), settings)


@pytest.fixture
def ceilings(gim, scorer):
    return GIMCeilings(TrainedGIM(gim.model), scorer.screen, scorer.truth)


def correlation_with(world, prediction, scorer):
    expected = world.expected_shift(scorer.truth.conditions, n_cells=400)
    return np.corrcoef(prediction.shift.ravel(), expected.ravel())[0, 1]


def test_a_duplicate_is_near_the_truth_but_not_on_it(scorer):
    scores = score_duplicate(scorer)
    assert len(scores) == len(METRICS) * scorer.truth.n_conditions
    means = scores.groupby("metric")["value"].mean()
    assert means["weighted MSE"] > 0
    assert means["discrimination l2"] > 0.6


def test_decoded_cells_keep_the_effect(ceilings, scorer, small_world):
    prediction = ceilings.autoencoder()
    starts = scorer.truth.starts
    sizes = [len(cells) for cells in prediction.cells(np.arange(scorer.truth.n_conditions))]
    assert sizes == np.diff(starts).tolist()
    assert correlation_with(small_world, prediction, scorer) > 0.3


def test_the_intervention_read_off_the_cells_keeps_the_effect(ceilings, scorer, small_world):
    prediction = ceilings.oracle_intervention()
    assert correlation_with(small_world, prediction, scorer) > 0.3
    cells = prediction.cells(np.array([0]))[0]
    assert cells.shape == (100, scorer.truth.shift.shape[1])


def test_held_out_cells_are_shown_to_the_encoder_as_controls(ceilings):
    assert (ceilings._held_out.obs["drug"] == "vehicle").all()
    assert (ceilings._held_out.obs["dose"] == 0).all()


@pytest.fixture(scope="module")
def in_lines(small_world):
    """Ceilings of a model of two cell lines, the genes of which are in opposite order."""
    adata = small_world.screen()
    is_second = np.arange(adata.n_obs) % 2 == 1
    adata.obs["line"] = np.where(is_second, "second", "first")
    counts = adata.X.toarray()
    counts[is_second] = counts[is_second][:, ::-1]
    adata.X = counts
    keys, settings = ScreenKeys(context="line"), ScoringSettings(n_genes=20)
    chosen = split(adata, "perturbation_in_context", fraction=0.8, keys=keys)
    screen, truth = prepare(adata, chosen, settings)
    gim = GIMPredictor(n_nodes=3, measure_gauge=False, train_kwargs={"max_epochs": 5})
    gim.fit(screen)
    return GIMCeilings(gim, screen, truth), gim, screen


@pytest.mark.parametrize("line", ["first", "second"])
def test_the_oracle_intervenes_on_control_cells_of_the_context(in_lines, line):
    ceilings, gim, screen = in_lines
    none = np.zeros(len(gim.model.node_names_))
    control = pd.DataFrame({"drug": ["vehicle"], "dose": [0.0], "line": [line]})
    np.testing.assert_array_equal(
        ceilings._draw(none, line, seed=0), gim.predict_cells(control, 100, seed=0)[0]
    )
    assert ceilings._is_member(line).sum() == len(screen.control_cells(line))


def test_the_mean_of_the_oracle_is_over_control_cells_of_the_context(in_lines):
    ceilings, gim, _ = in_lines
    contexts = ceilings._truth.plain["context"].to_numpy()
    shifts = np.ones((len(contexts), len(gim.model.node_names_)))
    mean = ceilings._mean_shift(shifts)
    for line in np.unique(contexts):
        assert np.ptp(mean[contexts == line], axis=0).max() < 1e-6
    first, second = (mean[contexts == line][0] for line in ("first", "second"))
    assert np.abs(first - second).max() > 1e-3


def test_a_model_without_contexts_has_one_population(ceilings):
    assert ceilings._is_member("") is None


@pytest.mark.parametrize("scale", [False, True])
def test_dense_transformed_expression_has_ceilings(small_world, scale):
    adata = small_world.screen()
    counts = adata.X.toarray()
    adata.X = np.log1p(1e4 * counts / counts.sum(axis=1, keepdims=True))
    if scale:
        adata.X = (adata.X - adata.X.mean(axis=0)) / (adata.X.std(axis=0) + 1e-3)
    screen, truth = prepare(adata, split(adata, "top_dose"), ScoringSettings(n_genes=20))
    gim = GIMPredictor(n_nodes=3, measure_gauge=False, train_kwargs={"max_epochs": 2})
    gim.fit(screen)
    ceilings = GIMCeilings(gim, screen, truth)
    assert type(ceilings._held_out.X) is np.ndarray
    for prediction in (ceilings.autoencoder(), ceilings.oracle_intervention()):
        assert np.isfinite(prediction.shift).all()

"""What models of version 0.1.0 gave, against what they give now, loaded and trained anew."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import linear_sum_assignment

from scgim.data import PerturbationDirections
from scgim.model import GIM

spec = importlib.util.spec_from_file_location("store", Path(__file__).with_name("store_outputs.py"))
store = importlib.util.module_from_spec(spec)
spec.loader.exec_module(store)

# Root mean square of the differences between trainings that a change of random numbers or rounding
# may cause: twice the largest that training seeds 1, 2 and 3 gave against seed 0, which were, in this
# order, 0.082, 0.018, 0.061, 0.056, 0.029 for programs, 0.42, 0.083, 0.10, 0.085, 0.031 for latent
# and 0.0018, 0.0011, 0.0035, 0.021, 0.0002 for counts of genes. Named genes of the normal likelihood
# do not depend on the seed; they get 0.005, and twice the sampling noise of the predicted means.
# The outputs themselves vary by 1.5, 0.12, 0.75, 1.2, 0.5 for programs, and alike for the others.
TOLERANCES = {
    "programs": {"targets": 0.16, "graph": 0.036, "shift": 0.12, "predict": 0.11, "ec50": 0.058},
    "latent": {"targets": 0.84, "graph": 0.17, "shift": 0.20, "predict": 0.17, "ec50": 0.063},
    "genes": {"targets": 0.005, "graph": 0.005, "shift": 0.005, "predict": 0.06, "ec50": 0.005},
    "gene_counts": {
        "targets": 0.004,
        "graph": 0.002,
        "shift": 0.007,
        "predict": 0.042,
        "ec50": 0.002,
    },
}


def read(kind):
    with np.load(store.STORED / f"{kind}.npz") as file:
        return dict(file)


@pytest.fixture(scope="module", params=[*store.KINDS, store.PICKLED])
def loaded(request):
    """Outputs of a stored model that is loaded with its cells, and the stored ones."""
    kind = "programs" if request.param == store.PICKLED else request.param
    folder, cells = store.STORED / request.param, store.make_screen(kind)
    model = GIM.load(folder, cells, accelerator="cpu", safe=request.param != store.PICKLED)
    return store.outputs(model), read(kind)


@pytest.fixture(scope="module", params=store.KINDS)
def trained(request):
    """Kind of a model, its outputs after training from scratch, and the stored ones."""
    return request.param, store.outputs(store.train(request.param)), read(request.param)


def assert_equal(found, expected, keys):
    for key in keys:
        if expected[key].dtype.kind != "f":
            np.testing.assert_array_equal(found[key], expected[key], err_msg=key)
            continue
        scale = np.abs(expected[key]).max(initial=0)
        np.testing.assert_allclose(
            found[key], expected[key], rtol=1e-4, atol=1e-5 * scale, err_msg=key
        )


def assert_same_bounds(found, expected, lower, upper):
    """Bounds come from some hundred draws: five other seeds of `predict_shift` changed the width of
    one interval by up to a factor of 2.2, and the mean width by up to 6 %.
    """
    before = expected[upper] - expected[lower]
    now = found[upper] - found[lower]
    rare = 0.02 * before.max()
    assert (now <= 3 * before + rare).all()
    assert (before <= 3 * now + rare).all()
    assert now.mean() == pytest.approx(before.mean(), rel=0.15)
    moved = np.abs(found[upper] + found[lower] - expected[upper] - expected[lower]) / 2
    assert (moved <= 0.4 * np.maximum(before, now) + rare).all()


def assert_same_cells(found, expected, name):
    """Eight standard errors: counts are skewed, and four other seeds reached 4.9 in one of them."""
    for part in ("mean", "sd"):
        error = np.hypot(found[f"{name}/{part}_error"], expected[f"{name}/{part}_error"])
        difference = np.abs(found[f"{name}/{part}"] - expected[f"{name}/{part}"])
        assert (difference <= 8 * error + 1e-3).all(), (name, part)


@pytest.mark.parametrize("kind", store.KINDS)
def test_loaded_model_of_an_earlier_version_knows_no_direction(kind):
    model = GIM.load(store.STORED / kind, store.make_screen(kind), accelerator="cpu")
    assert model.screen.directions == PerturbationDirections()


def test_screens_are_simulated_as_they_were(loaded):
    assert_equal(*loaded, ["screen/total"])


def test_loaded_model_finds_the_same_targets(loaded):
    found, expected = loaded
    columns = [key for key in expected if key.startswith("targets/")]
    bounds = ["targets/lower", "targets/upper"]
    assert_equal(found, expected, [key for key in columns if key not in bounds])
    assert_same_bounds(found, expected, *bounds)


def test_loaded_model_has_the_same_graph(loaded):
    assert_equal(*loaded, ["graph/weight", "graph/probability", "graph/ambiguous"])


def test_loaded_model_predicts_the_same_shift_of_seen_perturbations(loaded):
    found, expected = loaded
    is_seen = expected["shift/is_seen"]
    np.testing.assert_array_equal(found["shift/is_seen"], is_seen)
    found, expected = ({"mean": o["shift/mean"][is_seen]} for o in loaded)
    assert_equal(found, expected, ["mean"])


def test_loaded_model_predicts_the_same_shift_of_unseen_perturbations(loaded):
    # the mean over the distribution over interventions: other seeds move it by up to 0.013
    found, expected = (o["shift/mean"][~o["shift/is_seen"]] for o in loaded)
    assert found.shape[0] >= 2
    np.testing.assert_allclose(found, expected, atol=0.03)


def test_loaded_model_predicts_the_same_intervals_of_shifts(loaded):
    assert_same_bounds(*loaded, "shift/lower", "shift/upper")


def test_loaded_model_predicts_the_same_cells(loaded):
    assert_same_cells(*loaded, "predict")


@pytest.mark.parametrize("kind", ["do_shift", "do_set", "do_scale"])
def test_loaded_model_draws_the_same_cells_under_given_interventions(loaded, kind):
    assert_same_cells(*loaded, kind)


def test_loaded_model_moves_control_cells_alike(loaded):
    assert_equal(*loaded, ["moved_control/predict", "moved_control/do", "moved_control/nodes"])


def test_loaded_model_has_the_same_dose_response(loaded):
    found, expected = loaded
    names = [f"dose_response/{column}" for column in ("perturbation", "node", "dose", "effect")]
    assert_equal(found, expected, [*names, "ec50/value", "hill/value"])
    assert_same_bounds(found, expected, "dose_response/lower", "dose_response/upper")


def test_loaded_model_has_the_same_gene_programs(loaded):
    assert_equal(*loaded, ["programs/value"])


def test_loaded_model_has_the_same_latent_representation(loaded):
    assert_equal(*loaded, ["latent/value"])


def differences(found, expected):
    """Root mean square differences between two trainings, nodes matched by their gene programs."""
    order, sign = match_nodes(found["programs/value"], expected["programs/value"])
    pairs = {
        "targets": (by_node(found)[:, order] * sign, by_node(expected)),
        "graph": (
            found["graph/weight"][np.ix_(order, order)] * np.outer(sign, sign),
            expected["graph/weight"],
        ),
        # Version 0.1.0 took size factors for totals; since then their scale does not count.
        "shift": (
            found["shift/mean"],
            expected.get("shift/mean_of_totals", expected["shift/mean"]),
        ),
        "predict": tuple(np.arcsinh(o["predict/mean"]) for o in (found, expected)),
        "ec50": tuple(np.log10(o["ec50/value"]) for o in (found, expected)),
    }
    return {name: float(np.sqrt(np.mean((a - b) ** 2))) for name, (a, b) in pairs.items()}


def match_nodes(found, expected):
    """Order and signs that make the programs of one model most like those of another."""
    n_nodes = expected.shape[1]
    correlation = np.corrcoef(expected.T, found.T)[:n_nodes, n_nodes:]
    rows, order = linear_sum_assignment(-np.abs(correlation))
    return order, np.sign(correlation[rows, order])


def by_node(outputs):
    """Effects on targets, perturbations x nodes."""
    n_perturbations = len(np.unique(outputs["targets/perturbation"]))
    return outputs["targets/effect"].reshape(n_perturbations, -1)


@pytest.mark.parametrize("output", ["targets", "graph", "shift", "predict", "ec50"])
def test_model_trained_from_scratch_learns_the_same(trained, output):
    kind, found, expected = trained
    assert differences(found, expected)[output] < TOLERANCES[kind][output]

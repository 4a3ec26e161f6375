import numpy as np
import pytest
import torch

from scgim.scm import LinearMechanism, compute_log_densities, scale_nodes, set_nodes
from scgim.scm._intervention_kinds import HARD, SCALE, SHIFT
from scgim.scm._structure import Structure
from scgim.scm.generator._efficacy_model import EfficacyModel
from scgim.scm.generator._named_node_model import NamedNodeModel

N_NODES = 4
WEIGHTS = np.zeros((N_NODES, N_NODES))
WEIGHTS[[2, 2, 0], [0, 1, 3]] = [0.9, -0.8, 0.7]
NOISE_VARIANCE = np.array([1.0, 0.5, 2.0, 1.0])


@pytest.fixture(scope="module")
def mechanism():
    mechanism = LinearMechanism(N_NODES).double().requires_grad_(requires_grad=False)
    mechanism.is_edge.copy_(torch.as_tensor(WEIGHTS != 0))
    mechanism.weight.copy_(torch.as_tensor(WEIGHTS))
    mechanism.offset.fill_(0.5)
    mechanism.noise_sd.copy_(torch.as_tensor(NOISE_VARIANCE).sqrt())
    return mechanism


def targets(*nodes):
    is_target = torch.zeros(1, N_NODES, dtype=torch.float64)
    is_target[0, list(nodes)] = 1.0
    return is_target


@pytest.fixture(scope="module")
def model(mechanism):
    """Three perturbations: a shift of node 0, node 1 set, the noise of node 2 tripled at saturation."""
    kind_index = np.full((3, N_NODES), -1)
    kind_index[[0, 1, 2], [0, 1, 2]] = [0, 1, 2]
    structure = Structure(
        adjacency=WEIGHTS != 0,
        coefficients=WEIGHTS,
        offset=np.full(N_NODES, 0.5),
        noise_variance=NOISE_VARIANCE,
        kinds=(SHIFT, HARD, SCALE),
        kind_index=kind_index,
        target_evidence=np.where(kind_index >= 0, 20.0, -20.0),
        kind_evidence=np.zeros((3, N_NODES)),
        edge_evidence=np.where(WEIGHTS != 0, 20.0, -20.0),
        edge_probability=(WEIGHTS != 0).astype(float),
        target_probability=(kind_index >= 0).astype(float),
        score=0.0,
        trace=(0.0,),
        was_stopped=False,
    )
    efficacy = EfficacyModel(
        sensitivity=np.array([2.0, -1.0, 3.0, 0.0]),
        rows=np.tile([1.0, 0.0, 0.0], (3, 1)),
        extra=np.zeros((3, N_NODES)),
        center=np.zeros(3),
        log_sd=np.zeros(7),
        features=np.zeros((3, 0)),
    )
    extra_noise = np.zeros((3, N_NODES))
    extra_noise[2, 2] = 2.0
    return NamedNodeModel(
        structure=structure,
        mechanism=mechanism,
        efficacy=efficacy,
        predictor=None,
        feature_center=np.zeros(0),
        feature_scale=np.ones(0),
        hard_share=np.array([0.0, 1.0, 0.0, 0.0]),
        hard_noise_scale=0.5,
        extra_noise=extra_noise,
    )


def test_each_kind_does_what_its_name_says(model):
    what = model.seen(np.array([0, 1, 2]), np.full(3, np.inf))
    assert what.shift.tolist() == [[2, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 0]]
    assert what.is_cut.sum() == 1
    assert what.is_cut[1, 1] == 1
    assert what.probability.tolist() == torch.eye(4)[:3].tolist()
    np.testing.assert_allclose(what.noise_scale[[1, 2], [1, 2]], [0.5, 3.0])
    np.testing.assert_allclose(what.noise_scale[0], 1.0)


def test_noise_of_scale_interventions_follows_the_dose(model):
    what = model.seen(np.full(3, 2), np.array([-np.inf, 0.0, np.inf]))
    np.testing.assert_allclose(what.noise_scale[:, 2], [1.0, 2.0, 3.0])


def test_scaled_cells_have_the_mean_of_control_and_more_noise(model):
    what = model.seen(np.array([-1, 2]), np.full(2, np.inf))
    cells = model.sample(what, 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(cells[0].mean(0), cells[1].mean(0), atol=0.06)
    assert cells[1, :, 2].std() == pytest.approx(3 * np.sqrt(2.0), rel=0.02)


def test_nodes_that_are_set_by_hand_are_clamped_and_lose_their_parents(model):
    what = set_nodes(targets(1), 3.0 * targets(1))
    cells = model.sample(what, 100, np.random.default_rng(0))[0]
    assert (cells[:, 1] == 3.0).all()
    loose = set_nodes(targets(1), 3.0 * targets(1), noise_scale=2.0)
    cells = model.sample(loose, 5000, np.random.default_rng(0))[0]
    assert cells[:, 1].std() == pytest.approx(2 * np.sqrt(0.5), rel=0.05)
    assert abs(np.corrcoef(cells[:, 1], cells[:, 2])[0, 1]) < 0.05


def test_noise_can_be_scaled_by_hand(model):
    what = scale_nodes(1 - targets(3))
    cells = model.sample(what, 50, np.random.default_rng(0))[0]
    np.testing.assert_allclose(cells[:, 3], 0.5 + 0.7 * cells[:, 0], rtol=1e-6)


def test_closed_form_mean_is_the_mean_of_simulated_cells(model):
    what = model.seen(np.array([0, 1, 2, -1]), np.zeros(4))
    cells = model.sample(what, 40_000, np.random.default_rng(0))
    np.testing.assert_allclose(model.mean(what, np.random.default_rng(0)), cells.mean(1), atol=0.06)


def test_cells_are_likeliest_under_the_intervention_that_made_them(model):
    what = model.seen(np.array([0, 1, 2]), np.full(3, np.inf))
    cells = model.sample(what, 400, np.random.default_rng(1))
    kept, hit = compute_log_densities(model.mechanism, cells, what)
    for condition in range(3):
        rows = slice(400 * condition, 400 * (condition + 1))
        assert hit[rows, condition].sum() > kept[rows, condition].sum() + 50

from dataclasses import replace

import numpy as np
import pytest
import torch

from scgim.scm import (
    LinearMechanism,
    MLPMechanism,
    compute_sufficient_statistics,
    set_nodes,
    shift_nodes,
)
from scgim.scm._named_node_fit import find_structure, fit_named_nodes
from scgim.scm._named_node_screen import NamedNodeScreen
from scgim.scm.structure._prior_knowledge import PriorKnowledge
from scgim.scm.structure._structure_search import SearchSettings

N_NODES, N_DRUGS = 6, 14
WEIGHTS = np.zeros((N_NODES, N_NODES))
WEIGHTS[[0, 0, 1, 2, 3], [1, 2, 3, 3, 5]] = [0.9, -0.8, 0.7, 0.9, -0.7]


def draw_screen(seed=0, *, is_hard=False):
    """Chain-like graph in topological order; each drug shifts or sets one or two nodes by 2 at dose 1."""
    rng = np.random.default_rng(seed)
    targets = rng.random((N_DRUGS, N_NODES)).argsort(1) < rng.integers(1, 3, (N_DRUGS, 1))
    features = targets @ rng.standard_normal((N_NODES, 8))
    sizes = np.append(400, np.full(2 * N_DRUGS, 50))
    perturbation = np.append(-1, np.repeat(np.arange(N_DRUGS), 2))
    log10_dose = np.append(0.0, np.tile([0.0, 1.0], N_DRUGS))
    condition = np.repeat(np.arange(len(sizes)), sizes)
    hit = np.vstack([targets, np.zeros(N_NODES)])[perturbation][condition]
    strength = np.where(log10_dose > 0.5, 20 / 11, 1.0)[condition]
    noise = rng.standard_normal((len(condition), N_NODES))
    values = np.zeros_like(noise)
    for node in range(N_NODES):
        kept = 1 - hit[:, node] if is_hard else 1.0
        shift = 2 * hit[:, node] * strength
        values[:, node] = values @ WEIGHTS[:, node] * kept + shift + noise[:, node]
    return NamedNodeScreen(values, condition, perturbation, log10_dose, features), targets


def fit(screen, *, mechanism=LinearMechanism, kind="shift", prior=None, **options):
    rng = np.random.default_rng(0)
    statistics = compute_sufficient_statistics(
        screen.values, screen.condition, screen.perturbation, is_linear=mechanism.is_linear
    )
    settings = SearchSettings(kind=kind, n_restarts=8)
    structure = find_structure(statistics, rng, settings=settings, prior=prior, **options)
    n_nodes = screen.n_nodes
    return fit_named_nodes(
        screen,
        structure,
        mechanism(n_nodes).double(),
        rng,
        scatter=statistics.within.sum(axis=-1)[:n_nodes, :n_nodes],
        known_targets=None if prior is None else prior.targets,
    ).model


@pytest.fixture(scope="module")
def shifted():
    screen, targets = draw_screen()
    return screen, targets, fit(screen)


@pytest.fixture(scope="module")
def hard():
    screen, targets = draw_screen(is_hard=True)
    return screen, targets, fit(screen, kind="auto")


def test_graph_targets_and_weights_are_found(shifted):
    _, targets, model = shifted
    np.testing.assert_array_equal(model.structure.adjacency, WEIGHTS != 0)
    # At 6 nats per target, one false call in 84 pairs is not rare.
    assert (model.structure.is_target != targets).sum() <= 1
    assert model.structure.is_target[targets].all()
    np.testing.assert_allclose(model.mechanism.adjacency.detach(), WEIGHTS, atol=0.12)


@pytest.mark.parametrize("which", ["shifted", "hard"])
def test_means_of_seen_conditions_are_predicted(which, request):
    screen, _, model = request.getfixturevalue(which)
    what = model.seen(screen.perturbation, screen.log10_dose)
    predicted = model.mean(what, np.random.default_rng(0))
    observed = screen.condition_means(screen.values)
    assert np.sqrt(((predicted - observed) ** 2).mean()) < 0.25


def test_control_is_the_empty_intervention(shifted):
    _, _, model = shifted
    what = model.seen(np.array([-1, 0]), np.array([1.0, -np.inf]))
    assert not what.probability[0].any()
    np.testing.assert_allclose(what.shift, 0.0, atol=1e-12)
    means = model.mean(what, np.random.default_rng(0))
    np.testing.assert_allclose(means[0], means[1], atol=1e-12)


def test_closed_form_mean_is_the_mean_of_simulated_cells(hard):
    _, _, model = hard
    what = model.seen(np.array([0, 1, -1]), np.zeros(3))
    cells = model.sample(what, 20_000, np.random.default_rng(0))
    np.testing.assert_allclose(model.mean(what, np.random.default_rng(0)), cells.mean(1), atol=0.06)


def test_hard_interventions_are_called_hard_and_cut_their_parents(hard):
    _, targets, model = hard
    has_parents = (WEIGHTS != 0).any(axis=0)
    assert model.structure.is_hard[:, has_parents][targets[:, has_parents]].mean() > 0.9
    is_target = torch.zeros(1, N_NODES, dtype=torch.float64)
    is_target[0, 3] = 1.0
    what = set_nodes(is_target, 3.0 * is_target, noise_scale=0.5)
    cells = model.sample(what, 5000, np.random.default_rng(0))[0]
    assert abs(np.corrcoef(cells[:, 1], cells[:, 3])[0, 1]) < 0.05
    assert cells[:, 3].mean() == pytest.approx(3.0, abs=0.03)
    expected_sd = 0.5 * model.mechanism.noise_sd[3].item()
    assert cells[:, 3].std() == pytest.approx(expected_sd, rel=0.05)


def test_a_drug_equals_the_do_query_of_its_intervention(shifted):
    _, _, model = shifted
    seen = model.seen(np.array([2]), np.array([1.0]))
    noise = torch.randn(50, N_NODES, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        model.mechanism.simulate(noise, seen.draw(np.random.default_rng(0))),
        model.mechanism.simulate(noise, shift_nodes(seen.shift)),
    )


def test_unseen_perturbations_get_targets_and_shifts_from_features(shifted):
    screen, targets, model = shifted
    twin = model.unseen(screen.features, np.ones(N_DRUGS))
    assert ((twin.probability.numpy() > 0.5) == targets).mean() > 0.95
    np.testing.assert_allclose(twin.shift[targets], 2 * 20 / 11, atol=0.6)


def test_relabelling_nodes_relabels_predictions(shifted):
    screen, _, model = shifted
    order = np.random.default_rng(1).permutation(N_NODES)
    renamed = NamedNodeScreen(
        screen.values[:, order],
        screen.condition,
        screen.perturbation,
        screen.log10_dose,
        screen.features,
    )
    other = fit(renamed)
    index, dose = np.arange(N_DRUGS), np.zeros(N_DRUGS)
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(
        other.mean(other.seen(index, dose), rng),
        model.mean(model.seen(index, dose), rng)[:, order],
        atol=0.02,
    )


def test_given_graph_is_kept_and_its_targets_are_found():
    screen, targets = draw_screen()
    model = fit(screen, graph=WEIGHTS != 0)
    np.testing.assert_array_equal(model.structure.adjacency, WEIGHTS != 0)
    # At 6 nats per target, one false call in 84 pairs is not rare.
    assert (model.structure.is_target != targets).sum() <= 1
    assert model.structure.is_target[targets].all()


def test_known_targets_are_kept():
    screen, targets = draw_screen()
    known = PriorKnowledge.none(N_NODES, N_DRUGS)
    absent = np.argwhere(~targets)[0]
    known.targets[tuple(absent)] = 1
    model = fit(screen, graph=WEIGHTS != 0, prior=known)
    assert model.structure.is_target[tuple(absent)]


def test_mlp_mechanisms_use_the_same_interface():
    screen, _targets = draw_screen()
    model = fit(screen, graph=WEIGHTS != 0, mechanism=MLPMechanism)
    assert not isinstance(model.mechanism, LinearMechanism)
    what = model.seen(screen.perturbation, screen.log10_dose)
    predicted = model.mean(what, np.random.default_rng(0), n_cells=500)
    assert np.sqrt(((predicted - screen.condition_means(screen.values)) ** 2).mean()) < 0.3


def test_without_features_unseen_perturbations_are_refused():
    screen, _ = draw_screen()
    bare = NamedNodeScreen(screen.values, screen.condition, screen.perturbation, screen.log10_dose)
    model = fit(bare, graph=WEIGHTS != 0)
    with pytest.raises(RuntimeError, match="fitted without features"):
        model.unseen(np.zeros((1, 3)), np.zeros(1))


def test_a_screen_without_effects_has_no_targets_and_predicts_none():
    rng = np.random.default_rng(0)
    condition = np.repeat(np.arange(5), 60)
    values = rng.standard_normal((300, 3))
    perturbation = np.array([-1, 0, 1, 2, 3])
    model = fit(NamedNodeScreen(values, condition, perturbation, np.full(5, np.inf)))
    assert not model.structure.is_target.any()
    what = model.seen(np.arange(4), np.full(4, np.inf))
    assert not what.shift.any()


def test_scale_interventions_are_found_and_their_size_is_learned():
    screen, targets = draw_screen()
    rng = np.random.default_rng(5)
    hit = np.vstack([targets, np.zeros(N_NODES)])[screen.perturbation][screen.condition]
    dose = np.where(screen.log10_dose > 0.5, 20 / 11, 1.0)[screen.condition, None]
    noise = rng.standard_normal(hit.shape) * (1 + 2 * hit * dose)
    values = noise @ np.linalg.inv(np.eye(N_NODES) - WEIGHTS)
    scaled = NamedNodeScreen(
        values, screen.condition, screen.perturbation, screen.log10_dose, screen.features
    )
    model = fit(scaled, kind="any")
    np.testing.assert_array_equal(model.structure.adjacency, WEIGHTS != 0)
    found = model.structure.is_rescaled & ~model.structure.is_hard & ~model.structure.is_moved
    assert (found == targets).mean() > 0.97
    what = model.seen(np.arange(N_DRUGS), np.ones(N_DRUGS))
    factor = what.noise_scale.numpy()[targets & found]
    assert factor.mean() == pytest.approx(1 + 2 * 20 / 11, rel=0.15)


def test_conditions_of_a_few_equal_cells_leave_everything_finite():
    screen, _ = draw_screen(3)
    values = screen.values.copy()
    for condition in range(1, len(screen.perturbation)):
        cells = np.flatnonzero(screen.condition == condition)
        values[cells] = values[cells[0]]
    kept = np.unique(screen.condition, return_index=True)[1][1:, None] + np.arange(3)
    cells = np.append(np.flatnonzero(screen.condition == 0), kept.ravel())
    few = replace(screen, values=values[cells], condition=screen.condition[cells])
    model = fit(few)
    assert np.isfinite(model.extra_noise).all()
    what = model.seen(few.perturbation, few.log10_dose)
    assert np.isfinite(np.stack([what.probability, what.shift, what.noise_scale])).all()

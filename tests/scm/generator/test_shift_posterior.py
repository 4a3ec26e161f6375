import numpy as np
import pytest

from scgim.scm import (
    LinearMechanism,
    NamedNodeScreen,
    SearchSettings,
    compute_shift_posterior,
    compute_sufficient_statistics,
    find_structure,
    fit_named_nodes,
)


def _screen(seed, n_cells=40):
    """Four nodes without edges, six perturbations of one node each at four doses."""
    rng = np.random.default_rng(seed)
    dose = np.array([0.25, 0.5, 1.0, 2.0, 4.0])
    perturbation = np.append(-1, np.repeat(np.arange(6), len(dose)))
    log10_dose = np.append(0.0, np.tile(np.log10(dose), 6))
    sizes = np.append(400, np.full(30, n_cells))
    condition = np.repeat(np.arange(31), sizes)
    values = rng.normal(size=(len(condition), 4))
    response = 10**log10_dose / (10**log10_dose + 1)
    for node in range(4):
        hit = (perturbation >= 0) & (perturbation % 4 == node)
        values[:, node] += (hit * 3.0 * response)[condition]
    return NamedNodeScreen(values, condition, perturbation, log10_dose)


def _fit(screen):
    settings, rng = SearchSettings(n_restarts=0, n_walk_steps=1), np.random.default_rng(0)
    statistics = compute_sufficient_statistics(
        screen.values, screen.condition, screen.perturbation, is_linear=True
    )
    structure = find_structure(statistics, rng, settings=settings)
    mechanism = LinearMechanism(screen.n_nodes).double()
    scatter = statistics.within.sum(axis=-1)[: screen.n_nodes, : screen.n_nodes]
    return fit_named_nodes(screen, structure, mechanism, rng, scatter=scatter).model


@pytest.fixture(scope="module")
def fits():
    screens = [_screen(seed) for seed in range(12)]
    return [(screen, _fit(screen)) for screen in screens]


def _at(model, dose):
    n = len(model.structure.is_target)
    return model.seen(np.arange(n), np.full(n, np.log10(dose))).shift.numpy()


def test_errors_of_shifts_are_as_large_as_the_posterior_says(fits):
    errors, expected = [], []
    for screen, model in fits:
        posterior = compute_shift_posterior(model, screen, model.mechanism.noise_sd.numpy() ** 2)
        rng = np.random.default_rng(0)
        for row, node in zip(*np.nonzero(model.structure.is_target), strict=True):
            if row % 4 != node:
                continue
            delta = rng.multivariate_normal(
                np.zeros(2), posterior.dose_response_covariance[row], 400
            )
            size = _at(model, np.inf)[row, node] + delta @ posterior.size_slope[row, node]
            size += rng.normal(size=400) * np.sqrt(posterior.size_variance[row, node])
            efficacy = model.efficacy.rows[row] + np.column_stack([np.zeros(400), delta])
            response = model.efficacy.response(efficacy, np.full(400, np.log10(1.5)))
            expected.append((size * response).var())
            errors.append(_at(model, 1.5)[row, node] - 3 * 1.5 / 2.5)
    assert np.mean(np.square(errors)) == pytest.approx(np.mean(expected), rel=0.6)


def test_only_targets_are_uncertain(fits):
    screen, model = fits[0]
    posterior = compute_shift_posterior(model, screen, model.mechanism.noise_sd.numpy() ** 2)
    assert (posterior.size_variance[~model.structure.is_target] == 0).all()
    assert (posterior.size_variance[model.structure.is_target] > 0).all()
    assert (np.linalg.eigvalsh(posterior.dose_response_covariance) > 0).all()


def test_more_cells_tell_more():
    few, many = _screen(3, n_cells=20), _screen(3, n_cells=200)
    size = [
        compute_shift_posterior(model, screen, model.mechanism.noise_sd.numpy() ** 2)
        for screen, model in ((few, _fit(few)), (many, _fit(many)))
    ]
    assert size[1].size_variance.max() < 0.3 * size[0].size_variance.max()

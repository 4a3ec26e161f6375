import numpy as np
import pytest

from scgim.scm.generator._efficacy_model import EfficacyModel, ShiftObservations

N_DRUGS, N_NODES = 30, 8
DOSES = np.log10([0.5, 1.0, 1.5, 2.0])


def draw(seed=0, sign="node", noise=0.05):
    """Rank-one shifts whose efficacy and EC50 are linear in the features."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((N_DRUGS + 10, 5))
    efficacy = 2.5 + 0.5 * features[:, 0]
    log10_ec50 = 0.15 * features[:, 1]
    u = rng.choice([-1.0, 1.0], N_NODES) if sign == "node" else np.ones(N_NODES)
    if sign == "drug":
        efficacy = efficacy * rng.choice([-1.0, 1.0], len(efficacy))
    is_target = rng.random((len(features), N_NODES)) < 0.25
    is_target[np.arange(len(features)), rng.integers(0, N_NODES, len(features))] = True
    owner = np.repeat(np.arange(N_DRUGS), len(DOSES))
    dose = np.tile(DOSES, N_DRUGS)
    response = 1 / (1 + 10 ** (-2 * (dose - log10_ec50[owner])))
    shift = efficacy[owner, None] * u * response[:, None]
    residual = shift + noise * rng.standard_normal(shift.shape)
    observations = ShiftObservations.from_conditions(
        residual, np.full(residual.shape, noise**2), owner, dose, is_target[:N_DRUGS]
    )
    return features, observations, efficacy[:, None] * u, log10_ec50


def fit(observations, features):
    return EfficacyModel.fit(observations, features, n_perturbations=N_DRUGS, n_nodes=N_NODES)


def test_unseen_perturbations_get_their_efficacy_from_the_features():
    features, observations, saturating, log10_ec50 = draw()
    model = fit(observations, features[:N_DRUGS])
    rows = model.predict_rows(features[N_DRUGS:])
    at_top = model.shift(rows, np.full(10, 0.3))
    truth = saturating[N_DRUGS:] / (1 + 10 ** (-2 * (0.3 - log10_ec50[N_DRUGS:, None])))
    assert np.abs(at_top - truth).mean() < 0.15 * np.abs(truth).mean()
    assert np.corrcoef(rows[:, 1], log10_ec50[N_DRUGS:])[0, 1] > 0.8


def test_seen_perturbations_are_predicted_at_doses_between():
    features, observations, saturating, log10_ec50 = draw()
    model = fit(observations, features[:N_DRUGS])
    predicted = model.shift(model.rows, np.full(N_DRUGS, 0.1), model.extra)
    truth = saturating[:N_DRUGS] / (1 + 10 ** (-2 * (0.1 - log10_ec50[:N_DRUGS, None])))
    pairs = observations.perturbation, observations.node
    assert np.abs((predicted - truth)[pairs]).mean() < 0.08


def test_sign_of_a_drug_is_found_when_seen_and_not_invented_when_unseen():
    features, observations, saturating, _ = draw(sign="drug")
    model = fit(observations, features[:N_DRUGS])
    at_top = model.shift(model.rows, np.full(N_DRUGS, np.inf), model.extra)
    assert (
        np.sign(at_top)[observations.perturbation, observations.node]
        == np.sign(saturating)[observations.perturbation, observations.node]
    ).all()
    unseen = model.shift(model.predict_rows(features[N_DRUGS:]), np.full(10, np.inf))
    assert np.abs(unseen).mean() < 0.6 * np.abs(saturating).mean()


def test_no_features_leave_the_mean_of_the_seen_perturbations():
    _, observations, *_ = draw()
    model = fit(observations, None)
    rows = model.predict_rows(np.zeros((2, 0)))
    np.testing.assert_allclose(rows[0], rows[1])
    assert rows[0] == pytest.approx(model.rows.mean(axis=0), abs=0.1)


def test_shift_is_zero_at_dose_zero_and_full_at_saturation():
    features, observations, *_ = draw()
    model = fit(observations, features[:N_DRUGS])
    nothing = model.shift(model.rows[:2], np.array([-np.inf, -np.inf]), model.extra[:2])
    np.testing.assert_allclose(nothing, 0.0, atol=1e-12)
    full = model.shift(model.rows[:2], np.array([np.inf, np.inf]), model.extra[:2])
    np.testing.assert_allclose(full, model.rows[:2, :1] * model.sensitivity + model.extra[:2])


def test_observations_are_those_of_targets_in_treated_conditions():
    residual = np.arange(6.0).reshape(3, 2)
    data = ShiftObservations.from_conditions(
        residual,
        np.ones_like(residual),
        np.array([-1, 0, 1]),
        np.array([0.0, 1.0, 2.0]),
        np.array([[True, False], [True, True]]),
    )
    assert data.shift.tolist() == [2.0, 4.0, 5.0]
    assert data.node.tolist() == [0, 0, 1]
    assert data.log10_dose.tolist() == [1.0, 2.0, 2.0]


def test_rank_one_shifts_are_fitted_to_their_noise():
    rng = np.random.default_rng(6)
    n, n_nodes = 40, 8
    features = rng.standard_normal((n, 6))
    efficacy, log10_ec50 = 1.5 + 0.4 * features[:, 0], 0.15 * features[:, 1]
    sensitivity = 2.0 * rng.choice([-1.0, 1.0], n_nodes)
    perturbation, node = np.repeat(np.arange(n), 4), np.repeat(rng.integers(0, n_nodes, n), 4)
    dose = np.tile(np.log10([0.5, 1.0, 1.5, 2.0]), n)
    response = 1 / (1 + 10 ** (-2.0 * (dose - log10_ec50[perturbation])))
    shift = sensitivity[node] * efficacy[perturbation] * response
    noisy = shift + 0.05 * rng.standard_normal(len(shift))
    data = ShiftObservations(perturbation, node, dose, noisy, np.full(len(shift), 0.05**2))
    fitted = EfficacyModel.fit(data, features, n_perturbations=n, n_nodes=n_nodes)
    predicted = fitted.shift(fitted.rows[perturbation], dose, fitted.extra[perturbation])
    error = predicted[np.arange(len(node)), node] - shift
    assert np.sqrt((error**2).mean()) < 0.05

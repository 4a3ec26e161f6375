"""Laws of direct effects, on a screen in which one drug also lowers a gene of its own."""

import numpy as np
import pytest
import scipy.sparse as sp
from fixtures.models import fit, make_screen

from scgim.scm.generator._strength_curve import StrengthCurve
from scgim.spaces._direct_effects import DirectEffects, choose_curve, predict_measured
from scgim.spaces._measured_shifts import measure_shifts

OWN_GENE = 5
DRUG = "drug_b"


def knock_down(adata, drug=DRUG, gene=OWN_GENE):
    """Remove nine of ten counts of one gene under one drug; programs know nothing of it."""
    counts = adata.X.toarray()
    rows = (adata.obs.drug == drug).to_numpy() & (adata.obs.dose >= 1).to_numpy()
    counts[rows, gene] = np.random.default_rng(0).binomial(counts[rows, gene].astype(int), 0.1)
    adata.X = sp.csr_matrix(counts)
    return adata


@pytest.fixture(scope="module")
def knocked_down():
    return fit(knock_down(make_screen(3, n_cells=25)), max_epochs=40)


@pytest.fixture
def direct(knocked_down):
    return knocked_down.fitted.direct


def row_of(model, name=DRUG):
    return model.screen.table.perturbations.index(name)


def test_a_gene_that_was_knocked_down_has_the_strongest_direct_effect(knocked_down, direct):
    row = row_of(knocked_down)
    assert direct.log_fold[row].argmin() == OWN_GENE
    assert direct.log_fold[row, OWN_GENE] < -0.7
    assert direct.false_sign_rate[row, OWN_GENE] < 0.05
    others = np.delete(direct.log_fold, row, axis=0)[:, OWN_GENE]
    assert (np.abs(others) < 0.4).all()


def test_intervals_hold_the_effect(direct):
    assert (direct.lower <= direct.log_fold).all()
    assert (direct.log_fold <= direct.upper).all()


def test_at_dose_zero_there_is_no_direct_effect(knocked_down, direct):
    distribution = knocked_down.fitted.seen_interventions
    nothing = direct.strength(distribution, np.full(len(distribution.shift), -np.inf))
    np.testing.assert_array_equal(nothing, 0)


def test_strength_does_not_fall_with_the_dose(knocked_down, direct):
    distribution = knocked_down.fitted.seen_interventions
    doses = np.linspace(-2, 3, 11)
    strength = [direct.strength(distribution, np.full(5, dose)) for dose in doses]
    assert (np.diff(strength, axis=0) >= -1e-9).all()


def test_programs_of_no_perturbation_move_nothing(knocked_down):
    fit_ = knocked_down.fitted
    measured = measure_shifts(fit_.statistics, knocked_down.screen)
    seen = fit_.seen_interventions.take(measured.perturbation)
    empty = seen.mean(np.full(len(measured.log10_dose), -np.inf))
    moved = predict_measured(fit_, measured, empty.map(lambda values: values[None]))
    np.testing.assert_allclose(moved, 0, atol=1e-6)


def test_a_curve_in_common_is_taken_only_where_it_predicts_left_out_doses_better(knocked_down):
    fit_ = knocked_down.fitted
    measured = measure_shifts(fit_.statistics, knocked_down.screen)
    rng = np.random.default_rng(0)
    own = np.array([0.1, 0.4, 0.8, 1.0])[np.round(measured.log10_dose).astype(int) + 1]
    effect = rng.normal(size=(5, measured.shift.shape[1]))[measured.perturbation]
    residual = own[:, None] * effect + 0.01 * rng.normal(size=effect.shape)
    doses = np.array([-1.0, 0.0, 1.0, 2.0])
    wrong = StrengthCurve(doses, np.ones(4))
    right = StrengthCurve(doses, np.array([0.1, 0.4, 0.8, 1.0]))
    assert choose_curve(measured, residual, own, wrong) is None
    assert choose_curve(measured, residual, np.ones(len(own)), right) is right


def test_effects_come_back_from_their_plain_values(direct):
    again = DirectEffects.from_dict(direct.to_dict())
    np.testing.assert_array_equal(again.log_fold, direct.log_fold)
    assert again.mechanism_share.equals(direct.mechanism_share)


def test_predictions_carry_the_direct_effect(knocked_down):
    with_it = knocked_down.predict_shift([(DRUG, 100.0)]).X[0, OWN_GENE]
    programs = knocked_down.fitted.seen_interventions.take(np.array([row_of(knocked_down)]))
    alone = knocked_down.fitted.control_population.mean_shift(programs.mean(np.array([2.0])))
    assert with_it < alone[0, OWN_GENE] - 0.3


def test_cells_and_mean_shifts_agree(knocked_down):
    conditions = [(DRUG, 100.0), ("vehicle", 0.0)]
    cells = knocked_down.predict(conditions, n_cells=4000, seed=0).X.toarray()
    values = np.log1p(cells * 1e4 / cells.sum(1, keepdims=True))
    shift = values[:4000].mean(0) - values[4000:].mean(0)
    predicted = knocked_down.predict_shift([(DRUG, 100.0)]).X[0]
    np.testing.assert_allclose(shift, predicted, atol=0.12)


def test_direct_effects_of_a_combination_add(knocked_down):
    fitted = knocked_down.fitted
    shifts = {}
    for label in (DRUG, "drug_c", f"{DRUG}+drug_c"):
        prepared = knocked_down._prepare([(label, 10.0)], None)
        shifts[label] = fitted.gene_shift(prepared).numpy()
    np.testing.assert_allclose(shifts[f"{DRUG}+drug_c"], shifts[DRUG] + shifts["drug_c"], atol=1e-6)

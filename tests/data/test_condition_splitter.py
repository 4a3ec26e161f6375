import numpy as np
import pytest

from scgim.data import ConditionSplitter
from scgim.data._condition_splitter import hold_out_cells
from scgim.model import GIM

CONTROL = 0


def _design(n_drugs=10, doses=(1.0, 2.0, 4.0, 8.0), n_cells=3, n_control=200):
    labels = [CONTROL] * n_control
    amounts = [0.0] * n_control
    for drug in range(1, n_drugs + 1):
        for dose in doses:
            labels += [drug] * n_cells
            amounts += [dose] * n_cells
    return np.array(labels), np.array(amounts)


def _hold_out(labels, doses, fraction=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return hold_out_cells(labels, doses, CONTROL, fraction=fraction, rng=rng)


def _conditions(labels, doses, chosen):
    return set(zip(labels[chosen].tolist(), doses[chosen].tolist(), strict=True)) - {(CONTROL, 0.0)}


@pytest.mark.parametrize("seed", range(5))
def test_whole_conditions_are_held_out(seed):
    labels, doses = _design()
    held_out = _hold_out(labels, doses, seed=seed)
    assert not _conditions(labels, doses, held_out) & _conditions(labels, doses, ~held_out)
    assert len(_conditions(labels, doses, held_out)) == 4


@pytest.mark.parametrize("seed", range(5))
def test_lowest_and_highest_doses_are_never_held_out(seed):
    labels, doses = _design()
    held_out = _hold_out(labels, doses, fraction=0.9, seed=seed)
    assert {dose for _, dose in _conditions(labels, doses, held_out)} <= {2.0, 4.0}


def test_a_perturbation_loses_one_dose_at_most():
    labels, doses = _design()
    held_out = _conditions(labels, doses, _hold_out(labels, doses, fraction=0.9))
    assert len({label for label, _ in held_out}) == len(held_out) == 10


def test_at_least_one_condition_is_held_out():
    labels, doses = _design(n_drugs=2)
    assert len(_conditions(labels, doses, _hold_out(labels, doses, fraction=0.01))) == 1


def test_control_cells_are_held_out_in_their_share():
    labels, doses = _design(n_control=2000)
    share = _hold_out(labels, doses)[labels == CONTROL].mean()
    assert share == pytest.approx(0.1, abs=0.03)


@pytest.mark.parametrize("doses", [None, (1.0, 2.0, 4.0)])
def test_cells_are_held_out_where_no_perturbation_has_four_doses(doses):
    labels, amounts = _design(doses=doses or (1.0,), n_cells=300)
    held_out = _hold_out(labels, None if doses is None else amounts)
    assert held_out.mean() == pytest.approx(0.1, abs=0.02)
    assert set(labels[held_out]) == set(labels)


def test_perturbations_with_few_doses_keep_all_their_cells():
    labels, doses = _design()
    few, few_doses = np.full(20, 99), np.repeat([1.0, 2.0], 10)
    labels, doses = np.append(labels, few), np.append(doses, few_doses)
    assert not _hold_out(labels, doses, fraction=0.9)[labels == 99].any()


def test_the_same_source_of_randomness_holds_out_the_same_cells():
    design = _design()
    np.testing.assert_array_equal(_hold_out(*design, seed=3), _hold_out(*design, seed=3))
    assert (_hold_out(*design, seed=3) != _hold_out(*design, seed=4)).any()


@pytest.mark.parametrize("n_held_out", [1, 9, 12, 39])
def test_every_cell_has_its_set_whatever_the_size_of_the_last_minibatch(
    adata, monkeypatch, recwarn, n_held_out
):
    """With 48 cells and minibatches of eight, one of these leaves a minibatch of one cell."""
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose", features_key="features")
    manager = GIM(adata, n_nodes=2).adata_manager
    held_out = np.arange(adata.n_obs) < n_held_out
    monkeypatch.setattr("scgim.data._condition_splitter.hold_out_cells", lambda *_, **__: held_out)
    recwarn.clear()
    splitter = ConditionSplitter(manager, batch_size=8)
    splitter.setup()
    assert not recwarn.list
    indices = [splitter.train_idx, splitter.val_idx, splitter.test_idx]
    np.testing.assert_array_equal(np.sort(np.concatenate(indices)), np.arange(adata.n_obs))

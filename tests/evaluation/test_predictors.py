import numpy as np
import scvi
import torch

from scgim.evaluation import GIMPredictor


def test_fitted_gim_predicts_every_condition_without_touching_the_screen(gim, small_screen, top_of):
    assert not any(key.startswith("_scvi") for key in small_screen.adata.uns)
    shift, lower, upper = gim.predict_interval(top_of)
    assert shift.shape == (len(top_of), small_screen.adata.n_vars)
    assert (lower <= shift).all()
    assert (shift <= upper).all()
    np.testing.assert_array_equal(gim.predict_shift(top_of), shift)
    cells = gim.predict_cells(top_of, 7, seed=0)
    assert cells.shape == (len(top_of), 7, small_screen.adata.n_vars)


def test_change_of_log_rates_by_the_basis_and_its_time_are_measured(gim):
    assert 0 <= gim.gauge_drift < 0.02
    assert gim.seconds_after_training > 0


def test_the_seed_of_training_decides_the_model_and_leaves_the_users_alone(small_screen):
    def predict(seed):
        gim = GIMPredictor(
            n_nodes=2, train_kwargs={"max_epochs": 1}, measure_gauge=False, seed=seed
        )
        gim.fit(small_screen)
        return gim.predict_shift(small_screen.conditions.rename(columns={"perturbation": "drug"}))

    before, seed = torch.get_rng_state(), scvi.settings.seed
    one, again, other = predict(1), predict(1), predict(2)
    np.testing.assert_array_equal(one, again)
    assert not np.array_equal(one, other)
    assert scvi.settings.seed == seed
    torch.testing.assert_close(torch.get_rng_state(), before)

import numpy as np
import pytest

from scgim.model import GIM


@pytest.fixture(params=["model", "genes_model"])
def trained_model(request):
    return request.getfixturevalue(request.param)


def test_a_fit_comes_back_from_its_plain_values(trained_model):
    fit = trained_model.fitted
    again = trained_model.space.read(fit.module, fit.to_state())
    np.testing.assert_array_equal(again.edge_weights(), fit.edge_weights())
    np.testing.assert_array_equal(again.edge_probability(), fit.edge_probability())
    np.testing.assert_equal(again.statistics.to_dict(), fit.statistics.to_dict())


def test_other_intervals_are_another_fit_that_knows_the_same(trained_model):
    fit = trained_model.fitted
    wider = fit.calibrated({"seen": {}, "unseen": {}})
    assert wider.interventions is fit.interventions
    assert fit.calibration["seen"]
    assert not wider.calibration["seen"]


def test_before_training_there_is_no_fit(screen):
    adata = screen.copy()
    GIM.setup_anndata(adata, "drug", "vehicle", dose_key="dose")
    model = GIM(adata, n_nodes=2)
    assert not hasattr(model, "fitted")
    with pytest.raises(AttributeError, match=r"Call `GIM\.train` first"):
        _ = model.fitted

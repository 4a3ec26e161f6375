import torch

from scgim.module import CausalModule, GIMModule, NamedNodeModule


def test_all_causal_spaces_share_one_module():
    assert issubclass(GIMModule, CausalModule)
    assert issubclass(NamedNodeModule, CausalModule)


def test_covariates_on_the_cpu_have_no_columns_where_there_are_none(make, batch):
    assert make().cpu_covariates(batch).shape == (32, 0)
    encoded = make(n_batch=2).cpu_covariates(batch)
    torch.testing.assert_close(encoded.argmax(1), torch.arange(32) % 2)


def test_a_space_without_gradients_has_no_trained_dose_response():
    module = NamedNodeModule(3, components=torch.tensor([[-1], [0]]))
    log10_ec50, hill = module.trained_dose_response()
    assert log10_ec50.shape == (0,)
    assert hill == 1.0

import numpy as np
import pytest
import torch

from scgim.module import NamedNodeModule, log_rate

COMPONENTS = torch.tensor([[-1], [0]])


def _batch(x):
    n_cells = len(x)
    return {"X": x, "batch": torch.arange(n_cells)[:, None] % 2}


@pytest.fixture
def cells():
    return torch.randn(12, 3, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def normal():
    module = NamedNodeModule(3, components=COMPONENTS, n_batch=2).eval()
    module.assign(
        center=np.array([1.0, 2.0, 3.0]),
        scale=np.array([0.5, 1.0, 2.0]),
        covariate_effects=np.array([[0.0, 0.0, 0.0], [1.0, 0.0, -1.0]]),
    )
    return module


def test_nodes_are_standardised_expression_without_the_covariates(normal, cells):
    nodes, variance = normal.encode(_batch(cells))
    effect = torch.tensor([1.0, 0.0, -1.0]) * (torch.arange(12) % 2)[:, None]
    expected = (cells - effect - torch.tensor([1.0, 2.0, 3.0])) / torch.tensor([0.5, 1.0, 2.0])
    torch.testing.assert_close(nodes, expected)
    assert (variance < 1e-6).all()


def test_decoding_undoes_encoding(normal, cells):
    batch = _batch(cells)
    nodes, _ = normal.encode(batch)
    expression = normal.decode(nodes, nodes[:, :1] * 0, normal.covariates_of(batch))
    torch.testing.assert_close(expression.log_scale, cells)


def test_rates_have_poisson_counts_of_the_given_mean():
    rng = np.random.default_rng(0)
    for rate in (0.05, 1.0, 12.0, 300.0):
        mean = np.log1p(rng.poisson(rate, 200_000)).mean()
        found = log_rate(torch.tensor([mean])).exp().item()
        assert found == pytest.approx(rate, rel=0.03)


def test_rates_rise_with_the_mean_and_stay_finite():
    rates = log_rate(torch.linspace(-3, 8, 200))
    assert rates.isfinite().all()
    assert (rates.diff() >= 0).all()


def test_counts_have_the_library_of_the_cell():
    module = NamedNodeModule(
        3, components=COMPONENTS, gene_likelihood="nb", median_library=100.0
    ).eval()
    module.assign(center=np.log1p([10.0, 10.0, 10.0]))
    expression = module.decode(torch.zeros(1, 3), torch.tensor([[200.0]]).log(), None)
    rate = (expression.log_scale + expression.log_library).exp()
    assert rate.mean().item() == pytest.approx(20, rel=0.1)


def test_there_is_no_evidence_lower_bound(normal, cells):
    message = (
        r"^With `causal_space='genes'` there is no evidence lower bound: the model is fitted in "
        r"closed form\. Compare models by what they predict for held-out conditions\.$"
    )
    with pytest.raises(RuntimeError, match=message):
        normal.loss(_batch(cells), {}, {})

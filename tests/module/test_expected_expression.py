import pytest
import torch

from scgim.module import ExpectedExpression, get_likelihood


@pytest.mark.parametrize("gene_likelihood", ["nb", "poisson", "zinb"])
def test_expectation_is_the_mean_of_many_sampled_cells(make, gene_likelihood):
    module = make(gene_likelihood=gene_likelihood, causal_space="programs").eval()
    module.decoder.intercept.data = torch.linspace(-2, 2, 20)
    nodes = torch.randn(3, 3, generator=torch.Generator().manual_seed(0))
    library = torch.full((3,), 800.0)
    expected = ExpectedExpression(module, library)(nodes, None)
    torch.manual_seed(0)
    with torch.no_grad():
        expression = module.decode(nodes, library.log()[:, None], None)
        counts = torch.stack(
            [get_likelihood(gene_likelihood).distribution(expression).sample() for _ in range(6000)]
        )
    sampled = torch.log1p(counts * (1e4 / 800.0)).mean(0)
    torch.testing.assert_close(expected, sampled, rtol=0.03, atol=0.1)


def test_expectation_is_a_mean_over_libraries(make):
    module = make().eval()
    nodes = torch.zeros(1, 3)
    few, many = torch.full((50,), 100.0), torch.full((50,), 2000.0)
    mixed = ExpectedExpression(module, torch.cat([few, many]))(nodes, None)
    ends = [ExpectedExpression(module, library)(nodes, None) for library in (few, many)]
    assert (mixed > torch.minimum(*ends) - 1e-3).all()
    assert (mixed < torch.maximum(*ends) + 1e-3).all()


def test_expectation_of_the_normal_likelihood_is_its_mean(make):
    module = make(gene_likelihood="normal").eval()
    nodes = torch.randn(4, 3)
    expected = ExpectedExpression(module, torch.ones(4))(nodes, None)
    torch.testing.assert_close(expected, module.decoder(nodes, None))


def test_rates_beyond_the_table_stay_finite(make):
    module = make().eval()
    module.decoder.intercept.data = torch.linspace(-80, 80, 20)
    expected = ExpectedExpression(module, torch.full((5,), 300.0))(torch.zeros(5, 3), None)
    assert expected.isfinite().all()
    assert expected[:, 0].max() < 1e-3

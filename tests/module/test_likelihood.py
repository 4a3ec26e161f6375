import math

import pytest
import torch

from scgim.module import Expression, make_distribution
from scgim.module._likelihood import negative_log_likelihood

N_CELLS, N_GENES = 9, 12


@pytest.fixture
def expression():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(N_CELLS, N_GENES, generator=generator)
    return Expression(
        log_scale=torch.log_softmax(logits, -1),
        log_library=torch.full((N_CELLS, 1), math.log(500.0)),
        log_theta=torch.randn(N_GENES, generator=generator),
        dropout_logits=torch.randn(N_CELLS, N_GENES, generator=generator),
    )


@pytest.fixture
def counts(expression):
    torch.manual_seed(1)
    counts = make_distribution("nb", expression).sample().clone()
    counts[0] = 0.0
    counts[1, :3] = torch.tensor([64.0, 65.0, 5000.0])
    return counts


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "normal"])
def test_loss_is_the_log_probability_of_scvi(likelihood, expression, counts):
    if likelihood != "zinb":
        expression = expression._replace(dropout_logits=None)
    expected = -make_distribution(likelihood, expression).log_prob(counts).sum(-1)
    loss = negative_log_likelihood(likelihood, counts, expression)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "normal"])
def test_gradients_are_those_of_the_log_probability(likelihood, expression, counts):
    def gradients(loss_of):
        leaves = [expression.log_scale.clone(), expression.log_theta.clone()]
        for leaf in leaves:
            leaf.requires_grad_()
        loss_of(expression._replace(log_scale=leaves[0], log_theta=leaves[1])).sum().backward()
        return [torch.zeros(1) if leaf.grad is None else leaf.grad for leaf in leaves]

    mine = gradients(lambda e: negative_log_likelihood(likelihood, counts, e))
    scvis = gradients(lambda e: -make_distribution(likelihood, e).log_prob(counts).sum(-1))
    for one, other in zip(mine, scvis, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_loss_of_extreme_rates_is_finite_with_finite_gradients(likelihood, expression):
    log_scale = torch.tensor([[-60.0, 0.0, -1e-6]]).requires_grad_()
    extreme = Expression(
        log_scale=log_scale,
        log_library=torch.tensor([[12.0]]),
        log_theta=torch.tensor([-10.0, 10.0, 0.0]),
        dropout_logits=torch.tensor([[-30.0, 30.0, 0.0]]),
    )
    loss = negative_log_likelihood(likelihood, torch.tensor([[0.0, 3.0, 100.0]]), extreme).sum()
    loss.backward()
    assert loss.isfinite()
    assert log_scale.grad.isfinite().all()


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_mean_of_samples_is_library_times_share(likelihood, expression):
    expression = expression._replace(dropout_logits=torch.full((N_CELLS, N_GENES), -30.0))
    torch.manual_seed(2)
    distribution = make_distribution(
        likelihood, expression._replace(log_theta=torch.full((12,), 2.0))
    )
    expected = 500.0 * expression.log_scale.exp()
    mean = torch.stack([distribution.sample() for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, expected, rtol=0.1, atol=0.5)


def test_normal_scale_and_mean_are_those_of_the_decoder(expression):
    distribution = make_distribution("normal", expression)
    torch.testing.assert_close(distribution.loc, expression.log_scale)
    torch.testing.assert_close(distribution.scale, expression.log_theta.exp().expand(9, -1))


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "normal"])
def test_a_missing_count_gives_a_loss_that_is_not_finite(likelihood, expression, counts):
    counts[2, 3] = torch.nan
    finite = negative_log_likelihood(likelihood, counts, expression).isfinite()
    assert finite.tolist() == [True, True, False, *[True] * 6]

import math
from typing import get_args

import pytest
import torch
from torch.distributions import StudentT

from scgim.module import (
    ExpectedExpression,
    Expression,
    ExpressionLikelihood,
    GeneLikelihood,
    ProteinLikelihood,
    get_likelihood,
    loading_sd,
)
from scgim.module._likelihood import LIKELIHOODS

N_CELLS, N_GENES = 9, 12


class StudentTLikelihood(ExpressionLikelihood):
    """Transformed expression with the heavy tails of four degrees of freedom."""

    name = "student_t"
    n_degrees = 4.0

    def distribution(self, expression):
        return StudentT(self.n_degrees, expression.log_scale, expression.log_theta.exp())

    def information(self, mean, log_theta):
        return (self.n_degrees + 1) / (self.n_degrees + 3) * (-2 * log_theta).exp()


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
    counts = get_likelihood("nb").distribution(expression).sample().clone()
    counts[0] = 0.0
    counts[1, :3] = torch.tensor([64.0, 65.0, 5000.0])
    return counts


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "normal"])
def test_loss_is_the_log_probability_of_scvi(likelihood, expression, counts):
    if likelihood != "zinb":
        expression = expression._replace(dropout_logits=None)
    expected = -get_likelihood(likelihood).distribution(expression).log_prob(counts).sum(-1)
    loss = get_likelihood(likelihood).loss(counts, expression)
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "normal"])
def test_gradients_are_those_of_the_log_probability(likelihood, expression, counts):
    def gradients(loss_of):
        leaves = [expression.log_scale.clone(), expression.log_theta.clone()]
        for leaf in leaves:
            leaf.requires_grad_()
        loss_of(expression._replace(log_scale=leaves[0], log_theta=leaves[1])).sum().backward()
        return [torch.zeros(1) if leaf.grad is None else leaf.grad for leaf in leaves]

    mine = gradients(lambda e: get_likelihood(likelihood).loss(counts, e))
    scvis = gradients(
        lambda e: -get_likelihood(likelihood).distribution(e).log_prob(counts).sum(-1)
    )
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
    loss = get_likelihood(likelihood).loss(torch.tensor([[0.0, 3.0, 100.0]]), extreme).sum()
    loss.backward()
    assert loss.isfinite()
    assert log_scale.grad.isfinite().all()


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson"])
def test_mean_of_samples_is_library_times_share(likelihood, expression):
    expression = expression._replace(dropout_logits=torch.full((N_CELLS, N_GENES), -30.0))
    torch.manual_seed(2)
    distribution = get_likelihood(likelihood).distribution(
        expression._replace(log_theta=torch.full((12,), 2.0))
    )
    expected = 500.0 * expression.log_scale.exp()
    mean = torch.stack([distribution.sample() for _ in range(3000)]).mean(0)
    torch.testing.assert_close(mean, expected, rtol=0.1, atol=0.5)


def test_normal_scale_and_mean_are_those_of_the_decoder(expression):
    distribution = get_likelihood("normal").distribution(expression)
    torch.testing.assert_close(distribution.loc, expression.log_scale)
    torch.testing.assert_close(distribution.scale, expression.log_theta.exp().expand(9, -1))


@pytest.mark.parametrize("likelihood", ["nb", "zinb", "poisson", "normal"])
def test_a_missing_count_gives_a_loss_that_is_not_finite(likelihood, expression, counts):
    counts[2, 3] = torch.nan
    finite = get_likelihood(likelihood).loss(counts, expression).isfinite()
    assert finite.tolist() == [True, True, False, *[True] * 6]


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_every_likelihood_is_found_by_its_name(name):
    assert get_likelihood(name).name == name


def test_the_types_of_names_list_the_likelihoods():
    assert get_args(GeneLikelihood) == tuple(LIKELIHOODS)
    assert set(get_args(ProteinLikelihood)) < set(LIKELIHOODS)


def test_an_unknown_name_is_answered_with_the_choices():
    message = r"`gene_likelihood='negbin'` is not a choice\. Choose one of \['nb', 'zinb', "
    with pytest.raises(ValueError, match=message):
        get_likelihood("negbin")


@pytest.mark.parametrize("name", ["nb", "poisson", "normal"])
def test_information_is_the_variance_of_the_score(name, expression):
    likelihood = get_likelihood(name)
    log_scale = torch.full((40_000, 1), math.log(0.01), requires_grad=True)
    log_theta = torch.tensor([0.4])
    cells = Expression(log_scale, torch.full((40_000, 1), math.log(500.0)), log_theta, None)
    torch.manual_seed(0)
    values = likelihood.distribution(cells).sample().clone()
    likelihood.loss(values, cells).sum().backward()
    information = likelihood.information(torch.tensor([5.0]), log_theta)
    torch.testing.assert_close(log_scale.grad.square().mean(0), information, rtol=0.05, atol=0)


def test_shares_of_counts_sum_to_one_and_transformed_expression_is_left_alone():
    logits = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    counts, transformed = get_likelihood("nb"), get_likelihood("normal")
    torch.testing.assert_close(counts.scale(counts.log_scale(logits)).sum(-1), torch.ones(4))
    torch.testing.assert_close(transformed.scale(transformed.log_scale(logits)), logits)
    torch.testing.assert_close(transformed.encoder_input(logits, 7.0), logits)


def test_intercepts_start_at_the_mean_of_the_data():
    total = torch.tensor([30.0, 10.0, 0.0]).double().numpy()
    share = torch.as_tensor(get_likelihood("nb").start_intercept(total, 10)).exp()
    torch.testing.assert_close(share, torch.tensor([30.5, 10.5, 0.5]).double() / 41.5)
    assert get_likelihood("normal").start_intercept(total, 10).tolist() == [3.0, 1.0, 0.0]


def test_a_likelihood_of_ones_own_trains_and_predicts(make, batch):
    module = make(gene_likelihood=StudentTLikelihood())
    assert module.gene_likelihood == "student_t"
    batch["X"] = torch.log1p(batch["X"])
    batch["X"][0, 0] = 50.0
    optimizer = torch.optim.Adam(module.parameters(), lr=0.02)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = module(batch)[2].loss
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    module.eval()
    nodes = module.encode(batch)[0].detach()
    predicted = ExpectedExpression(module, torch.ones(3))(nodes, None)
    assert losses[-1] < 0.7 * losses[0]
    assert (predicted - batch["X"]).abs().median() < 0.5
    assert module.sample(batch).shape == batch["X"].shape
    assert (loading_sd(module) > 0).all()

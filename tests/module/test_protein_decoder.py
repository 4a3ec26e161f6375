import pytest
import torch

from scgim.module import ProteinDecoder, get_likelihood


@pytest.mark.parametrize("likelihood", ["nb", "normal"])
def test_loss_is_the_negative_log_probability(likelihood):
    torch.manual_seed(0)
    decoder = ProteinDecoder(3, 5, 2, likelihood=likelihood)
    nodes, covariates = torch.randn(4, 3), torch.randn(4, 2)
    proteins = torch.poisson(torch.full((4, 5), 6.0))
    expected = (
        -get_likelihood(likelihood)
        .distribution(decoder(nodes, covariates))
        .log_prob(proteins)
        .sum(-1)
    )
    torch.testing.assert_close(
        decoder.loss(proteins, nodes, covariates), expected, rtol=1e-4, atol=1e-4
    )


def test_proteins_start_at_their_mean():
    intercept = torch.tensor([1.0, 4.0])
    decoder = ProteinDecoder(3, 2, intercept=intercept)
    torch.testing.assert_close(decoder(torch.zeros(1, 3), None).log_scale[0], intercept)


def test_one_protein_says_nothing_of_another():
    # Unlike genes they are no composition: more of one is not less of the others.
    decoder = ProteinDecoder(2, 2)
    decoder.linear.loadings.data.copy_(torch.eye(2))
    base, moved = (decoder(torch.tensor([[x, 0.0]]), None).log_scale[0] for x in (0.0, 3.0))
    torch.testing.assert_close(moved - base, torch.tensor([3.0, 0.0]))


def test_counts_are_encoded_as_logs_and_transformed_values_as_they_are():
    values = torch.tensor([[0.0, 9.0]])
    torch.testing.assert_close(ProteinDecoder(1, 2).encoder_input(values), torch.log1p(values))
    transformed = ProteinDecoder(1, 2, likelihood="normal").encoder_input(values)
    torch.testing.assert_close(transformed, values)

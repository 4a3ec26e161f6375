import pytest
import torch

from scgim.module import GeneProgramDecoder, NeuralDecoder, NodeEncoder

N_GENES, N_NODES = 10, 3


def _normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_gene_programs_are_linear_in_the_nodes():
    decoder = GeneProgramDecoder(N_NODES, N_GENES)
    one, other = _normal(4, N_NODES), _normal(4, N_NODES, seed=1)
    zero = decoder(torch.zeros(4, N_NODES), None)
    torch.testing.assert_close(
        decoder(one + 2 * other, None) - zero,
        decoder(one, None) - zero + 2 * (decoder(other, None) - zero),
    )


def test_masked_genes_do_not_follow_a_program_and_get_no_gradient():
    mask = torch.zeros(N_GENES, N_NODES)
    mask[:4, 0] = mask[4:, 1] = 1
    decoder = GeneProgramDecoder(N_NODES, N_GENES, mask=mask)
    decoder(_normal(5, N_NODES), None).square().sum().backward()
    assert torch.equal(decoder.programs[mask == 0], torch.zeros(int((mask == 0).sum())))
    assert torch.equal(decoder.loadings.grad[mask == 0], torch.zeros(int((mask == 0).sum())))


def test_covariates_add_beside_the_programs():
    decoder = GeneProgramDecoder(N_NODES, N_GENES, n_covariates=2)
    decoder.covariate_effects.data = _normal(N_GENES, 2)
    nodes, covariates = _normal(4, N_NODES), _normal(4, 2, seed=1)
    moved = decoder(nodes, covariates) - decoder(nodes, None)
    torch.testing.assert_close(moved, covariates @ decoder.covariate_effects.T)


@pytest.mark.parametrize("n_layers", [1, 2])
def test_neural_decoder_bends_and_takes_covariates(n_layers):
    decoder = NeuralDecoder(N_NODES, N_GENES, 2, n_hidden=8, n_layers=n_layers)
    decoder.covariate_effects.data = _normal(8, 2)
    nodes = _normal(4, N_NODES)
    straight = 2 * decoder(nodes, None) - decoder(0 * nodes, None)
    assert (decoder(2 * nodes, None) - straight).abs().max() > 1e-3
    assert (decoder(nodes, _normal(4, 2)) - decoder(nodes, None)).abs().max() > 1e-3
    assert decoder(nodes.expand(7, 4, N_NODES), None).shape == (7, 4, N_GENES)


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    return NodeEncoder(N_GENES, N_NODES, n_categories=[2], n_continuous=1, n_hidden=8)


def test_encoder_gives_means_and_positive_variances_within_bounds(encoder):
    expression, code, age = 100 * _normal(6, N_GENES), torch.zeros(6, 1).long(), _normal(6, 1)
    mean, variance = encoder(expression, [code], age)
    assert mean.shape == variance.shape == (6, N_NODES)
    assert (variance > 0).all()
    assert variance.max() <= torch.tensor(3.0).exp()


def test_encoder_sees_batches_and_covariates(encoder):
    expression, code, age = _normal(6, N_GENES), torch.zeros(6, 1).long(), _normal(6, 1)
    mean = encoder(expression, [code], age)[0]
    assert (encoder(expression, [code + 1], age)[0] - mean).abs().max() > 1e-4
    assert (encoder(expression, [code], age + 1)[0] - mean).abs().max() > 1e-4


def test_encoder_starts_from_principal_components():
    encoder = NodeEncoder(N_GENES, N_NODES, n_hidden=8)
    axes = torch.linalg.qr(_normal(N_GENES, N_NODES)).Q.T
    sd, centre = torch.tensor([3.0, 2.0, 1.0]), _normal(N_GENES, seed=1)
    encoder.start_from(axes, sd, centre)
    expression = _normal(5, N_GENES, seed=2)
    torch.testing.assert_close(
        encoder.linear_path(expression), (expression - centre) @ axes.T / sd, rtol=1e-4, atol=1e-5
    )

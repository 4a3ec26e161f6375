import pytest
import torch

from scgim.module import GeneProgramDecoder, NeuralDecoder

COVARIATES = {
    "extra_continuous_covs": torch.randn(32, 1, generator=torch.Generator().manual_seed(5)),
    "extra_categorical_covs": torch.arange(32)[:, None] % 3,
}


def _loss(module, batch):
    torch.manual_seed(0)
    return module(batch)[2]


@pytest.mark.parametrize("gene_likelihood", ["nb", "zinb", "poisson", "normal"])
@pytest.mark.parametrize("causal_space", ["programs", "latent"])
def test_gradients_are_finite_for_all_cells_control_and_dose_zero_included(
    make, batch, gene_likelihood, causal_space
):
    module = make(gene_likelihood=gene_likelihood, causal_space=causal_space)
    batch["dose"][:8] = 0.0
    _loss(module, batch).loss.backward()
    for name, parameter in module.named_parameters():
        if parameter.grad is not None:
            assert parameter.grad.isfinite().all(), name
    assert module.interventions.shift.grad.abs().sum() > 0


@pytest.mark.parametrize(("gene_likelihood", "least"), [("nb", 0.95), ("normal", 0.85)])
def test_module_overfits_32_cells(make, batch, gene_likelihood, least):
    module = make(gene_likelihood=gene_likelihood)
    generator = torch.Generator().manual_seed(1)
    nodes, loadings = (torch.randn(*shape, generator=generator) for shape in ((32, 3), (3, 20)))
    batch["X"] = torch.poisson(60 * (0.5 * nodes @ loadings).exp(), generator)
    if gene_likelihood == "normal":
        batch["X"] = batch["X"].log1p()
    before = _loss(module, batch).loss.item()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.03)
    for _ in range(400):
        optimizer.zero_grad()
        module(batch)[2].loss.backward()
        optimizer.step()
    assert _loss(module, batch).loss.item() < before
    with torch.no_grad():
        fitted = module.decoder(module.encode(batch)[0], None)
    observed = batch["X"] if gene_likelihood == "normal" else (batch["X"] + 1).log()
    centred = [x - x.mean(1, keepdim=True) for x in (fitted, observed)]
    assert torch.corrcoef(torch.stack([x.ravel() for x in centred]))[0, 1] > least


def test_loss_is_reconstruction_plus_divergence_plus_the_share_of_the_prior(module, batch):
    output = _loss(module, batch)
    reconstruction = output.reconstruction_loss["reconstruction_loss"]
    divergence = output.kl_local["kl_local"]
    prior = module.interventions.negative_log_prior()
    torch.testing.assert_close(output.loss, (reconstruction + divergence).mean() + prior / 32)


def test_divergence_is_smaller_when_the_shift_explains_the_cells(module, batch):
    with torch.no_grad():
        mean, variance = module.encode(batch)
        shift = module.exogenous_mean(batch)
        explained = module.mechanism.solve(shift)
        right = module.mechanism.divergence(explained, variance, shift)
        wrong = module.mechanism.divergence(explained, variance, -shift)
    treated = batch["perturbation"].squeeze(-1) > 0
    assert (right[treated] < wrong[treated]).all()
    torch.testing.assert_close(right[~treated], wrong[~treated])
    assert mean.shape == (32, 3)


def test_shift_of_each_cell_is_that_of_its_label_and_dose(module, batch):
    shift = module.exogenous_mean(batch)
    assert torch.equal(shift[0], torch.zeros(3))
    torch.testing.assert_close(shift[3], shift[1] + shift[2])
    batch["dose"] = torch.zeros(32, 1)
    assert torch.equal(module.exogenous_mean(batch), torch.zeros(32, 3))


def test_cells_without_a_dose_are_saturated(module, batch):
    del batch["dose"]
    shift = module.exogenous_mean(batch)
    torch.testing.assert_close(shift[1], module.interventions.saturating_shift[0])
    assert torch.equal(shift[0], torch.zeros(3))


def test_posterior_does_not_see_the_perturbation(module, batch):
    module.eval()
    before = module.encode(batch)
    batch["perturbation"] = (batch["perturbation"] + 1) % 4
    batch["dose"] = batch["dose"] + 7
    for one, other in zip(module.encode(batch), before, strict=True):
        assert torch.equal(one, other)


def test_total_counts_do_not_move_the_nodes_of_the_same_shares(module, batch):
    module.eval()
    before = module.encode(batch)[0]
    batch["X"] = 3 * batch["X"]
    torch.testing.assert_close(module.encode(batch)[0], before, atol=1e-5, rtol=1e-4)


def test_causal_space_chooses_the_decoder(make):
    assert isinstance(make().decoder, GeneProgramDecoder)
    assert isinstance(make(causal_space="latent").decoder, NeuralDecoder)


def test_covariates_enter_encoder_and_decoder(make, batch_of):
    module = make(n_batch=2, n_cats_per_cov=[3], n_continuous=1, covariates_shift_nodes=True).eval()
    module.decoder.covariate_effects.data.normal_()
    module.node_covariate_effects.data.normal_()
    batch = batch_of(**COVARIATES)
    encoded = module.covariates_of(batch)
    assert encoded.shape == (32, 1 + 3 + 2)
    torch.testing.assert_close(
        encoded[:, 1:4].argmax(1, keepdim=True), batch["extra_categorical_covs"]
    )
    torch.testing.assert_close(encoded[:, 4:].argmax(1, keepdim=True), batch["batch"])
    for key in ("batch", *COVARIATES):
        other = dict(batch)
        other[key] = batch[key].roll(1, 0)
        assert (module.encode(other)[0] - module.encode(batch)[0]).abs().max() > 1e-4
        assert (module.exogenous_mean(other) - module.exogenous_mean(batch)).abs().max() > 1e-4
        rates = [
            module.decode(torch.zeros(32, 3), torch.zeros(32, 1), module.covariates_of(b)).log_scale
            for b in (other, batch)
        ]
        assert (rates[0] - rates[1]).abs().max() > 1e-4


def test_covariates_leave_the_nodes_alone_unless_asked(make, batch_of):
    module = make(n_batch=2)
    batch = batch_of()
    assert torch.equal(module.node_offset(module.covariates_of(batch)), torch.zeros(3))


def test_one_batch_is_no_covariate(module, batch):
    assert module.covariates_of(batch) is None


def test_size_factors_take_the_place_of_the_total_counts(module, batch):
    size = torch.full((32, 1), 77.0)
    assert torch.equal(module.library(batch["X"], size), size)
    torch.testing.assert_close(module.library(batch["X"], None), batch["X"].sum(1, keepdim=True))


def test_shares_of_all_genes_add_up_to_one(module):
    expression = module.decode(torch.randn(5, 3), torch.zeros(5, 1), None)
    torch.testing.assert_close(expression.log_scale.exp().sum(-1), torch.ones(5))


def test_sampled_cells_have_one_value_per_gene_and_draw(module, batch):
    module.eval()
    assert module.sample(batch).shape == (32, 20)
    assert module.sample(batch, n_samples=3).shape == (32, 20, 3)


def test_likelihood_of_unseen_labels_is_refused_when_evaluating(module, batch):
    module.eval()
    batch["perturbation"][0] = 4
    with pytest.raises(
        ValueError, match="1 cells are under perturbations that were not in training"
    ):
        _loss(module, batch)
    assert module.encode(batch)[0].shape == (32, 3)


def test_relabelling_genes_relabels_the_decoder(make):
    module = make().eval()
    nodes, order = torch.randn(4, 3), torch.randperm(20)
    before = module.decode(nodes, torch.zeros(4, 1), None).log_scale
    with torch.no_grad():
        module.decoder.loadings.copy_(module.decoder.loadings[order])
        module.decoder.intercept.copy_(module.decoder.intercept[order])
    after = module.decode(nodes, torch.zeros(4, 1), None).log_scale
    torch.testing.assert_close(after, before[:, order])

import pytest
import torch

from scgim.module import change_basis, linear_loadings, loading_sd
from scgim.scm import Gauge


@pytest.fixture
def gauge():
    generator = torch.Generator().manual_seed(3)
    directions = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    return Gauge(directions / directions.norm(dim=0), 0.0)


def _log_rates(module, batch):
    """Log-rates of shifted cells: the noise of each cell is the posterior mean, abducted."""
    with torch.no_grad():
        mean = module.encode(batch)[0]
        moved = (
            mean
            + module.mechanism.solve(module.exogenous_mean(batch))
            - module.mechanism.solve(torch.zeros_like(mean))
        )
        return module.decode(
            moved, batch["X"].sum(1, keepdim=True).log(), module.covariates_of(batch)
        )


def _hidden(module, batch):
    with torch.no_grad():
        return module.encoder_hidden(batch)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"causal_space": "latent"},
        {"gene_likelihood": "zinb"},
        {"gene_likelihood": "normal"},
        {"n_batch": 2, "covariates_shift_nodes": True},
        {"anchors": torch.tensor([-1.0, 1.0])},
    ],
    ids=["programs", "latent", "zinb", "normal", "covariates", "free"],
)
def test_no_log_rate_changes_with_the_basis(make, batch, gauge, options):
    module = make(**options).eval()
    if module.node_covariate_effects is not None:
        module.node_covariate_effects.data.normal_()
    before = _log_rates(module, batch)
    control = module.node_offset(module.covariates_of(batch)) + torch.zeros(32, 3)
    noise = torch.randn(32, 3)
    with torch.no_grad():
        drawn = module.mechanism.solve(noise + control)
        decoded = module.decoder(drawn, None)
    change_basis(module, gauge, _hidden(module, batch))
    after = _log_rates(module, batch)
    assert (after.log_scale - before.log_scale).abs().max() <= 1e-4
    if before.dropout_logits is not None:
        assert (after.dropout_logits - before.dropout_logits).abs().max() <= 1e-4
    with torch.no_grad():
        rotated = noise @ gauge.noise_rotation.float()
        control = module.node_offset(module.covariates_of(batch)) + torch.zeros(32, 3)
        again = module.decoder(module.mechanism.solve(rotated + control), None)
    torch.testing.assert_close(again, decoded, atol=1e-4, rtol=0)


def test_the_new_graph_shifts_and_loadings_are_those_of_the_gauge(make, batch, gauge):
    module = make().eval()
    shift, loadings = module.interventions.shift.detach().clone(), linear_loadings(module)
    change_basis(module, gauge, _hidden(module, batch))
    rotation = gauge.noise_rotation
    torch.testing.assert_close(
        module.mechanism.adjacency.double(), gauge.adjacency, atol=1e-6, rtol=0
    )
    torch.testing.assert_close(module.interventions.shift.double(), shift.double() @ rotation)
    torch.testing.assert_close(linear_loadings(module), loadings @ rotation, atol=1e-5, rtol=1e-4)


def test_the_identity_changes_no_mean(make, batch):
    module = make().eval()
    effects = torch.linalg.inv(torch.eye(3).double() - module.mechanism.adjacency.double())
    before = {name: value.clone() for name, value in module.state_dict().items()}
    change_basis(module, Gauge(effects / effects.norm(dim=0), 0.0), _hidden(module, batch))
    for name, value in module.state_dict().items():
        if "log_variance" not in name and name != "mechanism.weight":
            torch.testing.assert_close(value, before[name], atol=1e-5, rtol=1e-4)


def test_posterior_variances_follow_the_nodes(make, batch):
    """Doubling the unit of a node, which a permutation of roots can be read as, keeps order."""
    module = make().eval()
    module.mechanism.weight.data.zero_()
    variance = module.encode(batch)[1].detach()
    order = torch.eye(3).double()[:, [2, 0, 1]]
    change_basis(module, Gauge(order, 0.0), _hidden(module, batch))
    ratio = module.encode(batch)[1].detach() / variance[:, [2, 0, 1]]
    assert ratio.log().abs().mean() < 0.1


def test_linear_loadings_are_programs_times_total_effects(make):
    module = make()
    effects = torch.linalg.inv(torch.eye(3) - module.mechanism.adjacency)
    expected = module.decoder.programs @ effects.T
    torch.testing.assert_close(linear_loadings(module).float(), expected, atol=1e-5, rtol=1e-4)


def test_linear_loadings_of_a_neural_decoder_are_repeatable(make):
    module = make(causal_space="latent").eval()
    before = torch.get_rng_state()
    torch.testing.assert_close(linear_loadings(module), linear_loadings(module))
    assert torch.equal(torch.get_rng_state(), before)


def test_loadings_of_rare_genes_are_less_certain(make):
    for gene_likelihood in ("nb", "poisson"):
        module = make(gene_likelihood=gene_likelihood)
        module.log_theta.data.zero_()
        module.decoder.intercept.data = torch.linspace(-3, 3, 20)
        assert (loading_sd(module).diff() < 0).all()


def test_loadings_of_the_poisson_likelihood_have_the_error_of_their_counts(make):
    module = make(gene_likelihood="poisson", median_library=2000.0, n_obs=50)
    # 20 equal genes: 100 counts per cell in 50 cells.
    torch.testing.assert_close(loading_sd(module), torch.full((20,), 5000.0**-0.5).double())

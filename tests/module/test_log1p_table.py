import numpy as np
import torch
from scipy.stats import nbinom

from scgim.module._log1p_table import LOWEST_LOG_SCALE, Log1pTable

LIBRARY = 3000.0


def make_table(theta, library=(LIBRARY,) * 5):
    theta = torch.as_tensor(theta, dtype=torch.float64)
    return Log1pTable(
        lambda s, rate: torch.exp(-theta * torch.log1p(-rate / theta * torch.expm1(-s))),
        torch.tensor(library),
        n_genes=len(theta),
        device=theta.device,
    )


def sum_exactly(theta, log_scale):
    """Mean of log1p(CP10k) of a negative binomial, summed over all likely counts."""
    rate = LIBRARY * np.exp(log_scale)
    probability = theta / (theta + rate)
    counts = np.arange(nbinom.ppf(1 - 1e-13, theta, probability) + 2)
    return nbinom.pmf(counts, theta, probability) @ np.log1p(counts * 1e4 / LIBRARY)


def test_table_agrees_with_exact_sums_over_negative_binomials():
    theta = [0.3, 3.0, 100.0]
    log_scale = torch.linspace(-17.0, -0.5, 100)
    values = make_table(theta)(log_scale[:, None].expand(-1, 3))
    expected = [[sum_exactly(t, float(at)) for t in theta] for at in log_scale]
    np.testing.assert_allclose(values, expected, atol=1.1e-3)


def test_each_gene_reads_its_own_row():
    together = make_table([0.5, 20.0])
    log_scale = torch.tensor([[-9.0, -9.0], [-7.0, -8.0]])
    for gene, theta in enumerate([0.5, 20.0]):
        alone = make_table([theta])(log_scale[:, [gene]])
        torch.testing.assert_close(together(log_scale)[:, [gene]], alone)


def test_shares_beyond_the_table_read_its_ends():
    table = make_table([1.0])
    below, above = table(torch.tensor([[-80.0], [3.0]]))
    torch.testing.assert_close(below, table(torch.tensor([[LOWEST_LOG_SCALE]]))[0])
    torch.testing.assert_close(above, table(torch.tensor([[0.0]]))[0])


def test_genes_that_do_not_differ_share_one_transform():
    table = Log1pTable(
        lambda s, rate: torch.exp(rate * torch.expm1(-s)),
        torch.full((5,), LIBRARY),
        n_genes=3,
        device=torch.device("cpu"),
    )
    values = table(torch.full((1, 3), -8.0))
    torch.testing.assert_close(values, values[:, :1].expand(-1, 3))

import pytest
import torch

from scgim.train._held_out_shift import HeldOutShift

LABELS = torch.tensor([[0], [1], [2], [3]])


def perfect_batch(module, n_cells=12, dose=3.0):
    """Cells that are exactly what the module says: the control, shifted."""
    nodes = torch.randn(n_cells, 3, generator=torch.Generator().manual_seed(1))
    labels = LABELS.repeat_interleave(n_cells, 0)
    doses = torch.where(labels > 0, dose, 0.0)
    with torch.no_grad():
        shift = module.interventions(module.components[labels[:, 0]], doses.log10())
        effect = module.mechanism.solve(shift) - module.mechanism.solve(torch.zeros_like(shift))
        shifted = nodes.repeat(4, 1) + effect
        expression = module.decode(shifted, torch.zeros(len(shifted), 1), None).log_scale
        if module.gene_likelihood != "normal":
            expression = expression.exp() * 1000.0
    log_library = torch.full((len(labels), 1), 1000.0).log()
    return {"X": expression, "perturbation": labels, "dose": doses, "batch": 0 * labels}, (
        log_library,
        nodes.repeat(4, 1),
    )


def score(module, batch, arguments):
    metric = HeldOutShift(module)
    with torch.no_grad():
        metric.update(batch, *arguments)
        return metric.compute()


@pytest.mark.parametrize("gene_likelihood", ["nb", "normal"])
def test_a_perfect_prediction_scores_one(make, gene_likelihood):
    module = make(gene_likelihood=gene_likelihood).eval()
    assert score(module, *perfect_batch(module)).item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize("gene_likelihood", ["nb", "normal"])
def test_predicting_no_effect_scores_zero(make, gene_likelihood):
    module = make(gene_likelihood=gene_likelihood).eval()
    cells = perfect_batch(module)
    module.interventions.shift.data.zero_()
    assert score(module, *cells).item() == pytest.approx(0.0, abs=1e-4)


def test_predicting_the_opposite_scores_below_zero(make):
    module = make(gene_likelihood="normal").eval()
    cells = perfect_batch(module)
    module.interventions.shift.data.neg_()
    assert score(module, *cells).item() == pytest.approx(-3.0, abs=1e-3)


def test_minibatches_add_up(make):
    module = make().eval()
    batch, arguments = perfect_batch(module)
    batch["X"] = batch["X"] * torch.rand(
        batch["X"].shape, generator=torch.Generator().manual_seed(2)
    )
    module.interventions.shift.data.mul_(0.7)
    whole = score(module, batch, arguments)
    metric = HeldOutShift(module)
    with torch.no_grad():
        for part in torch.arange(48).chunk(5):
            metric.update({key: x[part] for key, x in batch.items()}, *(a[part] for a in arguments))
        torch.testing.assert_close(metric.compute(), whole)


@pytest.mark.parametrize("labels", [[0], [1, 2]])
def test_there_is_no_score_without_control_or_without_perturbed_cells(make, labels):
    module = make().eval()
    batch, arguments = perfect_batch(module)
    kept = torch.isin(batch["perturbation"][:, 0], torch.tensor(labels))
    part = {key: values[kept] for key, values in batch.items()}
    assert score(module, part, [a[kept] for a in arguments]) is None
    assert HeldOutShift(module).compute() is None


def test_reset_forgets_all_cells(make):
    module = make().eval()
    metric = HeldOutShift(module)
    batch, arguments = perfect_batch(module)
    with torch.no_grad():
        metric.update(batch, *arguments)
    metric.reset()
    assert metric.compute() is None


def test_screens_without_doses_are_scored_at_saturation(make):
    module = make().eval()
    batch, arguments = perfect_batch(module, dose=torch.inf)
    del batch["dose"]
    assert score(module, batch, arguments).item() == pytest.approx(1.0, abs=1e-4)

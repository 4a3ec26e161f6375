import numpy as np
import pytest
import torch

from scgim.scm._named_node_screen import NamedNodeScreen
from scgim.scm.structure._structure_ensemble import compute_reach
from scgim.scm.structure._structure_gradient import (
    GradientSettings,
    _target_loss,
    compute_spectral_radius,
    fit_structure_by_gradient,
    prune_to_acyclic,
)


def draw_screen():
    """0 -> 1; half of the perturbations shift node 0, the others node 1, as their feature says."""
    rng = np.random.default_rng(0)
    hits_first = np.arange(10) % 2 == 0
    condition = np.repeat(np.arange(11), np.append(300, np.full(10, 60)))
    perturbation = np.append(-1, np.arange(10))
    hit = np.column_stack([hits_first, ~hits_first]).astype(float)
    shift = 2 * np.vstack([hit, np.zeros(2)])[perturbation][condition]
    noise = rng.standard_normal((len(condition), 2))
    first = shift[:, 0] + noise[:, 0]
    values = np.column_stack([first, 0.9 * first + shift[:, 1] + noise[:, 1]])
    features = np.where(hits_first, 1.0, -1.0)[:, None]
    return NamedNodeScreen(values, condition, perturbation, np.zeros(11), features)


@pytest.mark.parametrize("targets", ["gumbel", "marginal"])
def test_fit_explains_the_screen_without_a_cycle(targets):
    screen = draw_screen()
    settings = GradientSettings(n_steps=400, targets=targets)
    model = fit_structure_by_gradient(screen, seed=0, settings=settings)
    reach = compute_reach(model.adjacency)
    assert not (reach[0, 1] and reach[1, 0])
    what = model.interventions(screen.features, np.zeros(10))
    means = screen.condition_means(screen.values)[1:]
    predicted = model.mechanism.solve(what.probability * what.shift).numpy()
    control = screen.condition_means(screen.values)[0]
    # It is no more than a local optimum, which is why it is not the default.
    assert np.abs(predicted - means).mean() < 0.7 * np.abs(control - means).mean()


def test_marginal_targets_equal_the_sum_over_both_states():
    residual, shift = torch.tensor([[0.7]]), torch.tensor([[1.5]])
    precision, price, logits = torch.tensor(3.0), torch.tensor(0.4), torch.tensor([[-0.3]])
    settings = GradientSettings(targets="marginal")
    loss = _target_loss(residual, logits, shift, precision, price, settings)
    p = torch.sigmoid(logits)
    by_hand = (1 - p) * torch.exp(-1.5 * residual**2)
    by_hand = by_hand + p * torch.exp(-1.5 * (residual - shift) ** 2 - 0.4)
    torch.testing.assert_close(loss, -by_hand.log().sum())


def test_spectral_radius_is_zero_on_a_dag_and_positive_on_a_cycle():
    chain = torch.diag(torch.full((3,), 0.7), 1)
    assert compute_spectral_radius(chain).abs() < 1e-6
    cycle = torch.tensor([[0.0, 0.5], [0.5, 0.0]])
    assert compute_spectral_radius(cycle).item() == pytest.approx(0.5, abs=1e-4)


def test_pruning_keeps_the_likeliest_edges_and_no_cycle():
    probability = np.array([[0.0, 0.9, 0.2], [0.8, 0.0, 0.7], [0.6, 0.1, 0.0]])
    kept = prune_to_acyclic(probability)
    np.testing.assert_array_equal(kept, [[0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    fit_structure_by_gradient(draw_screen(), seed=0, settings=GradientSettings(n_steps=2))
    assert torch.equal(before, torch.random.get_rng_state())


def test_missing_features_are_named():
    screen = draw_screen()
    bare = NamedNodeScreen(screen.values, screen.condition, screen.perturbation, screen.log10_dose)
    with pytest.raises(ValueError, match="`features=None`"):
        fit_structure_by_gradient(bare, seed=0)

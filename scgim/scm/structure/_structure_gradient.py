from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from scgim.scm._interventions import Intervention, shift_nodes
from scgim.scm._linear_mechanism import LinearMechanism
from scgim.scm.structure._structure_ensemble import compute_reach

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray
    from scgim.scm._named_node_screen import NamedNodeScreen

TargetEstimator = Literal["gumbel", "marginal"]

# Settings of our implementation of the published optimiser, from the prototype study, where they were
# lightly tuned on World G; the published code was not used.
# Of the relaxed Bernoulli draws (Jang et al. 2017; Maddison et al. 2017).
TEMPERATURE = 0.5
# Targets are rare at first.
START_LOG_ODDS = -2.0
# Squared shifts per target in nats, and squared weights per cell.
SHIFT_PENALTY = 0.05
WEIGHT_PENALTY = 5e-5
# Units of the network from features to targets.
HIDDEN = 64
# Steps in which the learning rate rises, and the share after which it falls as a cosine.
WARM_UP = 50
DECAY_FROM = 0.7
GRADIENT_NORM = 10.0
# Augmented Lagrangian: steps between updates, share of steps before the first, largest penalty.
MULTIPLIER_EVERY = 50
MULTIPLIER_FROM = 0.1
MAX_RHO = 1e6
# Power iterations for the spectral radius (Lee et al. 2019).
POWER_STEPS = 15


@dataclass(frozen=True)
class GradientSettings:
    """How to optimise graph, targets and mechanisms at once.

    Attributes
    ----------
    n_steps
        Gradient steps.
    targets
        ``"gumbel"``: sampled targets, as published. ``"marginal"``: targets summed out exactly.
    learning_rate
        Of mechanisms and edges.
    head_learning_rate
        Of the network from features to targets and shifts.
    edge_penalty, target_penalty
        In units of the Bayesian information criterion.
    """

    n_steps: int = 3000
    targets: TargetEstimator = "gumbel"
    learning_rate: float = 0.02
    head_learning_rate: float = 0.005
    edge_penalty: float = 1.0
    target_penalty: float = 1.0


@dataclass(frozen=True)
class GradientModel:
    """A linear causal model that gradient descent found, with its network of interventions.

    Attributes
    ----------
    adjacency
        Whether parent → child: likely edges, added from the likeliest while no cycle closes.
    edge_probability
        Shape ``(n_nodes, n_nodes)``.
    mechanism
        Linear mechanisms along ``adjacency``.
    head
        Network from features and dose to target log-odds and shifts.
    feature_center, feature_scale, dose_center, dose_scale
        Standardisation of its input.
    """

    adjacency: BoolArray
    edge_probability: FloatArray
    mechanism: LinearMechanism
    head: nn.Module
    feature_center: FloatArray
    feature_scale: FloatArray
    dose_center: float
    dose_scale: float

    def interventions(self, features: FloatArray, log10_dose: FloatArray) -> Intervention:
        """Predict interventions from features; seen and unseen perturbations alike.

        Parameters
        ----------
        features
            Features of each condition's perturbation, shape ``(n_conditions, n_features)``.
        log10_dose
            Dose, log10.

        Returns
        -------
        What is done to each node if it is a target, and the probability that it is one. Tensors of
        shape ``(n_conditions, n_nodes)``.
        """
        scaled = (features - self.feature_center) / self.feature_scale
        dose = (log10_dose - self.dose_center) / self.dose_scale
        with torch.no_grad():
            logits, shift = self.head(_tensor(np.column_stack([scaled, dose])))
        probability = torch.sigmoid(logits).double()
        return replace(shift_nodes(shift.double()), probability=probability)


class _Head(nn.Module):
    """Features and dose → target log-odds and shifts: a hidden layer and a linear skip each."""

    def __init__(self, n_inputs: int, n_nodes: int) -> None:
        super().__init__()
        self.skip = nn.Linear(n_inputs, 2 * n_nodes)
        self.targets = _network(n_inputs, n_nodes, START_LOG_ODDS)
        self.shifts = _network(n_inputs, n_nodes, 0.0)
        nn.init.zeros_(self.skip.bias)
        self.skip.weight.data.mul_(0.1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        logits, shift = self.skip(inputs).chunk(2, dim=-1)
        return logits + self.targets(inputs), shift + self.shifts(inputs)


class _Data(NamedTuple):
    scatter: Tensor  # (n_nodes, n_nodes) within conditions, all cells
    mean: Tensor  # (n_treated, n_nodes)
    size: Tensor  # (n_treated, 1)
    control_mean: Tensor  # (n_control, n_nodes)
    control_size: Tensor  # (n_control, 1)
    inputs: Tensor  # (n_treated, n_features + 1)
    n_cells: float


class _Model(nn.Module):
    def __init__(self, n_inputs: int, n_nodes: int) -> None:
        super().__init__()
        self.edge_logits = nn.Parameter(torch.zeros(n_nodes, n_nodes))
        self.weights = nn.Parameter(0.01 * torch.randn(n_nodes, n_nodes))
        self.offset = nn.Parameter(torch.zeros(n_nodes))
        self.log_sd = nn.Parameter(torch.zeros(n_nodes))
        self.head = _Head(n_inputs, n_nodes)
        self.off_diagonal: Tensor
        self.register_buffer("off_diagonal", 1 - torch.eye(n_nodes))

    @property
    def edge_probability(self) -> Tensor:
        return torch.sigmoid(self.edge_logits) * self.off_diagonal


def fit_structure_by_gradient(
    screen: NamedNodeScreen, *, seed: int, settings: GradientSettings | None = None
) -> GradientModel:
    """Learn graph, targets and mechanisms at once by gradient descent, as published.

    Gumbel-sigmoid edges under a spectral acyclicity constraint (augmented Lagrangian), as in
    Schneider et al., ICML 2025 (arXiv 2411.14003), written anew for linear mechanisms. It is here for
    comparison with :func:`search_structure`; it often ends in a poor local optimum.

    Parameters
    ----------
    screen
        The data; features are needed.
    seed
        Seed of the initial weights and of the sampled edges.
    settings
        How to optimise.

    Returns
    -------
    The model.
    """
    chosen = settings or GradientSettings()
    if screen.features is None:
        msg = "`features=None`, but the gradient fit reads targets from features. Pass features."
        raise ValueError(msg)
    center, scale = screen.features.mean(axis=0), screen.features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    treated = screen.perturbation >= 0
    dose = np.where(np.isfinite(screen.log10_dose), screen.log10_dose, 0.0)
    dose_center, dose_scale = float(dose[treated].mean()), float(dose[treated].std()) or 1.0
    inputs = np.column_stack(
        [
            ((screen.features - center) / scale)[screen.perturbation[treated]],
            (dose[treated] - dose_center) / dose_scale,
        ]
    )
    # Layers are initialised from the global generator: fork it, so that the user's is untouched.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _Model(inputs.shape[1], screen.n_nodes)
        _optimise(model, _summarise(screen, inputs, treated), chosen)
    probability = model.edge_probability.detach().double().numpy()
    adjacency = prune_to_acyclic(probability)
    return GradientModel(
        adjacency=adjacency,
        edge_probability=probability,
        mechanism=_as_mechanism(model, adjacency),
        head=model.head,
        feature_center=center,
        feature_scale=scale,
        dose_center=dose_center,
        dose_scale=dose_scale,
    )


@torch.no_grad()
def _as_mechanism(model: _Model, adjacency: BoolArray) -> LinearMechanism:
    mechanism = LinearMechanism(len(adjacency)).double().requires_grad_(requires_grad=False)
    mechanism.is_edge.copy_(torch.as_tensor(adjacency))
    mechanism.weight.copy_(model.weights)
    mechanism.offset.copy_(model.offset)
    mechanism.noise_sd.copy_(model.log_sd.exp())
    return mechanism


def prune_to_acyclic(edge_probability: FloatArray, threshold: float = 0.5) -> BoolArray:
    """Keep likely edges, from the likeliest on, as long as they close no cycle.

    Parameters
    ----------
    edge_probability
        ``[parent, child]``, shape ``(n_nodes, n_nodes)``.
    threshold
        Smallest probability of an edge.

    Returns
    -------
    Acyclic graph, same shape.
    """
    graph = np.zeros(edge_probability.shape, dtype=bool)
    reach = compute_reach(graph)
    parents, children = np.nonzero(edge_probability > threshold)
    for edge in np.argsort(-edge_probability[parents, children], kind="stable"):
        parent, child = parents[edge], children[edge]
        if not reach[child, parent]:
            graph[parent, child] = True
            reach |= np.outer(reach[:, parent], reach[child])
    return graph


def compute_spectral_radius(matrix: Tensor) -> Tensor:
    """Estimate the largest eigenvalue of a non-negative matrix by power iteration.

    Parameters
    ----------
    matrix
        Shape ``(n_nodes, n_nodes)``; 0 exactly when it is the adjacency of an acyclic graph.

    Returns
    -------
    The eigenvalue, differentiable (Lee et al. 2019, NO BEARS).
    """
    size = len(matrix)
    with torch.no_grad():
        left = right = torch.ones(size) / size
        for _ in range(POWER_STEPS):
            left, right = matrix.T @ left, matrix @ right
            left, right = left / (left.norm() + 1e-12), right / (right.norm() + 1e-12)
    return (left @ matrix @ right) / (left @ right + 1e-9)


def _network(n_inputs: int, n_outputs: int, start: float) -> nn.Sequential:
    last = nn.Linear(HIDDEN, n_outputs)
    last.weight.data.mul_(0.1)
    nn.init.constant_(last.bias, start)
    return nn.Sequential(nn.Linear(n_inputs, HIDDEN), nn.SiLU(), last)


def _tensor(values: FloatArray) -> Tensor:
    return torch.as_tensor(values, dtype=torch.float32)


def _summarise(screen: NamedNodeScreen, inputs: FloatArray, treated: BoolArray) -> _Data:
    mean = screen.condition_means(screen.values)
    centred = screen.values - mean[screen.condition]
    size = screen.condition_sizes[:, None]
    return _Data(
        scatter=_tensor(centred.T @ centred),
        mean=_tensor(mean[treated]),
        size=_tensor(size[treated]),
        control_mean=_tensor(mean[~treated]),
        control_size=_tensor(size[~treated]),
        inputs=_tensor(inputs),
        n_cells=float(len(screen.values)),
    )


def _optimise(model: _Model, data: _Data, settings: GradientSettings) -> None:
    own = [parameter for name, parameter in model.named_parameters() if not name.startswith("head")]
    optimizer = torch.optim.Adam(
        [
            {"params": own, "lr": settings.learning_rate},
            {"params": model.head.parameters(), "lr": settings.head_learning_rate},
        ]
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: _learning_rate_factor(step, settings.n_steps)
    )
    multiplier, rho, previous = 0.0, 1e-2, math.inf
    for step in range(settings.n_steps):
        cyclicity = compute_spectral_radius(model.edge_probability)
        loss = _loss(model, data, settings) / data.n_cells
        loss = loss + multiplier * cyclicity + 0.5 * rho * cyclicity.square()
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(own, GRADIENT_NORM)
        optimizer.step()
        schedule.step()
        is_late = step > MULTIPLIER_FROM * settings.n_steps
        if is_late and step % MULTIPLIER_EVERY == MULTIPLIER_EVERY - 1:
            now = float(cyclicity.detach())
            multiplier += rho * now
            rho = min(2 * rho, MAX_RHO) if now > 0.9 * previous else rho
            previous = now


def _learning_rate_factor(step: int, n_steps: int) -> float:
    share = step / n_steps
    if share < DECAY_FROM:
        return min(1.0, (step + 1) / WARM_UP)
    return 0.5 * (1 + math.cos(math.pi * (share - DECAY_FROM) / (1 - DECAY_FROM)))


def _loss(model: _Model, data: _Data, settings: GradientSettings) -> Tensor:
    """Negative log-likelihood of all cells plus penalties, in nats."""
    adjacency = _draw(model.edge_logits) * model.off_diagonal * model.weights
    contrast = torch.eye(len(adjacency)) - adjacency
    precision = (-2 * model.log_sd).exp()
    within = ((data.scatter @ contrast) * contrast).sum(0)
    fit = 0.5 * (within * precision).sum() + data.n_cells * model.log_sd.sum()
    control = data.control_mean @ contrast - model.offset
    fit = fit + 0.5 * (data.control_size * control.square() * precision).sum()
    residual = data.mean @ contrast - model.offset
    logits, shift = model.head(data.inputs)
    price = settings.target_penalty * 0.5 * data.size.log()
    fit = fit + _target_loss(residual, logits, shift, data.size * precision, price, settings)
    probability = torch.sigmoid(logits)
    fit = fit + SHIFT_PENALTY * (probability * shift.square()).sum()
    edges: Tensor = 0.5 * math.log(data.n_cells) * model.edge_probability.sum()
    weights = WEIGHT_PENALTY * data.n_cells * model.weights.square().sum()
    loss: Tensor = fit + settings.edge_penalty * edges + weights
    return loss


def _target_loss(
    residual: Tensor,
    logits: Tensor,
    shift: Tensor,
    precision: Tensor,
    price: Tensor,
    settings: GradientSettings,
) -> Tensor:
    if settings.targets == "gumbel":
        left = residual - _draw(logits) * shift
        return 0.5 * (precision * left.square()).sum() + (price * torch.sigmoid(logits)).sum()
    without = logsigmoid(-logits) - 0.5 * precision * residual.square()
    # The price of a target belongs inside the sum over its two states.
    hit = logsigmoid(logits) - 0.5 * precision * (residual - shift).square() - price
    return -torch.logaddexp(without, hit).sum()


def _draw(logits: Tensor) -> Tensor:
    """Sample 0 or 1 with straight-through Gumbel-sigmoid gradients."""
    uniform = torch.rand_like(logits).clamp(1e-6, 1 - 1e-6)
    relaxed = torch.sigmoid((logits + uniform.log() - (-uniform).log1p()) / TEMPERATURE)
    return (relaxed > 0.5).to(relaxed.dtype) + relaxed - relaxed.detach()

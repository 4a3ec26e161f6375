from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.linalg import block_diag
from scipy.optimize import minimize

from scgim.scm._dose_response import hill_gradient, hill_response_of_arrays
from scgim.scm.generator._target_prediction import Kernel, candidate_kernels

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray

# Efficacy, log10 EC50 and log slope.
N_OUTPUTS = 3
# How far the mean of each over all perturbations may lie from its prior: half of a typical efficacy
# (1), a decade of dose, and a factor of 1.5 in slope.
CONSTANT_SD = np.array([0.5, 1.0, 0.4])
# Prior slope; the geometric mean of the slopes of simulated World G, which go from 1 to 4.
PRIOR_HILL = 2.0
# Weak prior of sensitivities, in control standard deviations: that of the shifts of other spaces.
SENSITIVITY_SD = 3.0
# Rounds of scales and rows, and the most steps in each; steps stop early when they are small.
N_ROUNDS = 3
N_GAUSS_NEWTON = 12
# Scales beyond these leave a part out, or leave it free; neither has a gradient to follow.
LOG_SD_BOUNDS = (np.log(0.02), np.log(3.0))
# Bounds a Gauss-Newton step, in units of efficacy, decades of EC50 and log slope.
MAX_STEP = 1.0
# Starting scales in the order of ``log_sd``; the evidence then sets them.
START_LOG_SD = tuple(np.log([0.3, 0.3, 0.3, 0.3, 0.2, 0.2, 0.3]))
TIGHT_LOG_SD = tuple(
    tuple(np.log(scales))
    for scales in ((0.3, 0.1, 0.3, 0.1, 0.3, 0.1, 0.1), (0.3, 0.05, 0.3, 0.05, 0.2, 0.05, 0.05))
)


class ShiftObservations(NamedTuple):
    """Mean residuals of the target nodes of perturbations, one entry per condition and target.

    Attributes
    ----------
    perturbation
        Row of the perturbation, shape ``(n_observations,)``.
    node
        Target node.
    log10_dose
        Dose, log10; infinity where there is no dose.
    shift
        Mean residual.
    variance
        Its sampling variance.
    """

    perturbation: IntArray
    node: IntArray
    log10_dose: FloatArray
    shift: FloatArray
    variance: FloatArray

    @classmethod
    def from_conditions(
        cls,
        residual: FloatArray,
        variance: FloatArray,
        perturbation: IntArray,
        log10_dose: FloatArray,
        is_target: BoolArray,
    ) -> ShiftObservations:
        """Collect what conditions say of the targets.

        Parameters
        ----------
        residual
            Mean residual of each node, shape ``(n_conditions, n_nodes)``.
        variance
            Sampling variances, same shape.
        perturbation
            Perturbation of each condition, -1 for control.
        log10_dose
            Dose of each condition.
        is_target
            Targets, shape ``(n_perturbations, n_nodes)``.

        Returns
        -------
        The observations.
        """
        treated = np.flatnonzero(perturbation >= 0)
        row, node = np.nonzero(is_target[perturbation[treated]])
        condition = treated[row]
        return cls(
            perturbation[condition],
            node,
            log10_dose[condition],
            residual[condition, node],
            variance[condition, node],
        )


@dataclass(frozen=True)
class EfficacyModel:
    r"""How strongly a perturbation moves its targets, by dose and features.

    The shift of node j is

    .. math:: \delta_{kj}(d) = (u_j\, p_k + e_{kj})\, h(d; \mathrm{EC}_{50,k}, n_k),

    one signed sensitivity per node times one efficacy per perturbation (rank one), plus what is left
    for a seen pair. Efficacy, log EC50 and log slope are Gaussian processes of the features plus a
    part of their own. Posterior by Gauss-Newton, scales by the evidence of the linearised model, so
    that features without information leave the mean over the seen perturbations.

    Attributes
    ----------
    sensitivity
        :math:`u_j`, shape ``(n_nodes,)``.
    rows
        Efficacy, log10 EC50 and log slope of the seen perturbations, shape ``(n_perturbations, 3)``.
    extra
        :math:`e_{kj}`, shape ``(n_perturbations, n_nodes)``; 0 but for targets.
    center
        Prior means of the columns of ``rows``.
    log_sd
        Log scales: of the feature part and of the own part of each column, then of ``extra``.
    features
        Standardised features of the seen perturbations; no columns without features.
    kernel
        Kernel over features.
    evidence
        Log evidence of the linearised model, in nats.
    """

    sensitivity: FloatArray
    rows: FloatArray
    extra: FloatArray
    center: FloatArray
    log_sd: FloatArray
    features: FloatArray
    kernel: Kernel = field(default_factory=Kernel)
    evidence: float = -np.inf

    @classmethod
    def fit(
        cls,
        observations: ShiftObservations,
        features: FloatArray | None,
        *,
        n_perturbations: int,
        n_nodes: int,
    ) -> EfficacyModel:
        """Fit by empirical Bayes, from several starts and with each kernel.

        Parameters
        ----------
        observations
            What the cells say.
        features
            Standardised features of the seen perturbations, if there are any.
        n_perturbations
            Number of seen perturbations.
        n_nodes
            Number of nodes.

        Returns
        -------
        The fit of largest evidence; without any target, what is believed before seeing data.
        """
        table = np.zeros((n_perturbations, 0)) if features is None else features
        finite = observations.log10_dose[np.isfinite(observations.log10_dose)]
        center = np.array([1.0, finite.mean() if len(finite) else 0.0, np.log(PRIOR_HILL)])
        empty = cls(
            sensitivity=np.zeros(n_nodes),
            rows=np.tile(center, (n_perturbations, 1)),
            extra=np.zeros((n_perturbations, n_nodes)),
            center=center,
            log_sd=np.array(START_LOG_SD),
            features=table,
        )
        if not len(observations.shift):
            return empty
        # Loose and tight scales end in different optima, and neither is always the better one.
        scaled = [
            replace(empty, log_sd=np.array(log_sd)) for log_sd in (START_LOG_SD, *TIGHT_LOG_SD)
        ]
        starts = [_start_by_node(start, observations) for start in scaled]
        starts.append(_start_by_perturbation(empty, observations))
        best = max(
            (_alternate(start, observations) for start in starts), key=lambda fit: fit.evidence
        )
        if not table.shape[1]:
            return best
        others = [
            _alternate(replace(best, kernel=kernel), observations, n_rounds=1)
            for kernel in candidate_kernels()[1:]
        ]
        return max([best, *others], key=lambda fit: fit.evidence)

    @classmethod
    def fit_nothing(cls, n_perturbations: int, n_nodes: int) -> EfficacyModel:
        """Say of all perturbations that they do nothing.

        Parameters
        ----------
        n_perturbations
            Number of seen perturbations.
        n_nodes
            Number of nodes.

        Returns
        -------
        A model without sensitivities.
        """
        center = np.array([1.0, 0.0, np.log(PRIOR_HILL)])
        return cls(
            sensitivity=np.zeros(n_nodes),
            rows=np.tile(center, (n_perturbations, 1)),
            extra=np.zeros((n_perturbations, n_nodes)),
            center=center,
            log_sd=np.array(START_LOG_SD),
            features=np.zeros((n_perturbations, 0)),
        )

    def predict_rows(self, features: FloatArray) -> FloatArray:
        """Predict efficacy, log10 EC50 and log slope of unseen perturbations.

        Parameters
        ----------
        features
            Features, standardised as those of the seen perturbations.

        Returns
        -------
        Posterior means, shape ``(n_perturbations, 3)``.
        """
        deviation = self.rows - self.center
        if not self.features.shape[1]:
            shared = np.zeros((len(features), len(self.features)))
        else:
            shared = self.kernel(features, self.features)
        feature_sd = np.exp(self.log_sd[0:6:2])
        columns = []
        for output, gram in enumerate(self.prior_covariances()):
            cross = CONSTANT_SD[output] ** 2 + feature_sd[output] ** 2 * shared
            columns.append(cross @ np.linalg.solve(gram, deviation[:, output]))
        rows: FloatArray = self.center + np.column_stack(columns)
        return rows

    def shift(
        self, rows: FloatArray, log10_dose: FloatArray, extra: FloatArray | None = None
    ) -> FloatArray:
        """Shift of every node, were it a target.

        Parameters
        ----------
        rows
            Efficacy, log10 EC50 and log slope of each condition, shape ``(n_conditions, 3)``.
        log10_dose
            Dose, log10, shape ``(n_conditions,)``; infinity is saturation.
        extra
            Own part of seen pairs, shape ``(n_conditions, n_nodes)``.

        Returns
        -------
        Shifts, shape ``(n_conditions, n_nodes)``.
        """
        size = rows[:, :1] * self.sensitivity
        size = size if extra is None else size + extra
        shift: FloatArray = size * self.response(rows, log10_dose)[:, None]
        return shift

    @staticmethod
    def response(rows: FloatArray, log10_dose: FloatArray) -> FloatArray:
        """Share of the saturating effect at a dose.

        Parameters
        ----------
        rows
            Efficacy, log10 EC50 and log slope of each condition, shape ``(n_conditions, 3)``.
        log10_dose
            Dose, log10, shape ``(n_conditions,)``; infinity is saturation.

        Returns
        -------
        Shares between 0 and 1, shape ``(n_conditions,)``.
        """
        return hill_response_of_arrays(log10_dose, rows[:, 1], np.exp(rows[:, 2]))

    def prior_covariances(self) -> list[FloatArray]:
        """Prior covariance over perturbations of each column of ``rows``.

        Returns
        -------
        Three matrices, each ``(n_perturbations, n_perturbations)``.
        """
        n = len(self.rows)
        similarity = self.kernel(self.features, self.features) if self.features.shape[1] else 0.0
        sd = np.exp(self.log_sd)
        return [
            constant**2 + sd[2 * output] ** 2 * similarity + sd[2 * output + 1] ** 2 * np.eye(n)
            for output, constant in enumerate(CONSTANT_SD)
        ]


class _Linearised(NamedTuple):
    """The model at the current rows, linear in them."""

    gradient: FloatArray  # (n_observations, 3)
    target: FloatArray  # (n_observations,) observed shift minus prediction plus gradient * rows
    response: FloatArray  # (n_observations,)


def _start_by_node(model: EfficacyModel, data: ShiftObservations) -> EfficacyModel:
    """Every perturbation equally effective: sensitivities are mean shifts."""
    return replace(model, sensitivity=_update_sensitivity(model, data))


def _start_by_perturbation(model: EfficacyModel, data: ShiftObservations) -> EfficacyModel:
    """Every node equally sensitive: efficacies are mean shifts, which may be negative."""
    response = _responses(model, data)
    top = np.bincount(data.perturbation, response * data.shift / data.variance, len(model.rows))
    bottom = np.bincount(data.perturbation, response**2 / data.variance, len(model.rows)) + 1.0
    scale = float(np.sqrt(np.mean((top / bottom) ** 2))) + 1e-6
    rows = model.rows.copy()
    rows[:, 0] = top / bottom / scale
    log_sd = model.log_sd.copy()
    log_sd[1] = 0.0
    sensitivity = np.full_like(model.sensitivity, scale)
    return replace(model, rows=rows, sensitivity=sensitivity, log_sd=log_sd)


def _responses(model: EfficacyModel, data: ShiftObservations) -> FloatArray:
    own = model.rows[data.perturbation]
    return model.response(own, data.log10_dose)


def _update_sensitivity(model: EfficacyModel, data: ShiftObservations) -> FloatArray:
    size = model.rows[data.perturbation, 0] * _responses(model, data)
    n_nodes = len(model.sensitivity)
    # The own part of pairs is noise to the sensitivity: it varies between perturbations.
    variance = data.variance + np.exp(2 * model.log_sd[6]) * _responses(model, data) ** 2
    top = np.bincount(data.node, size * data.shift / variance, n_nodes)
    bottom = np.bincount(data.node, size**2 / variance, n_nodes) + SENSITIVITY_SD**-2
    sensitivity: FloatArray = top / bottom
    return sensitivity


def _linearise(model: EfficacyModel, data: ShiftObservations) -> _Linearised:
    own = model.rows[data.perturbation]
    response = _responses(model, data)
    change = hill_gradient(data.log10_dose, own[:, 1], np.exp(own[:, 2]))
    size = model.sensitivity[data.node] * own[:, 0]
    gradient = np.column_stack([model.sensitivity[data.node] * response, size[:, None] * change])
    target = data.shift - size * response + (gradient * own).sum(axis=1)
    return _Linearised(gradient, target, response)


class _Normal(NamedTuple):
    """Normal equations of the rows after the own parts of pairs are integrated out."""

    precision: FloatArray  # (3 * n_perturbations, 3 * n_perturbations), outputs first
    right: FloatArray  # (3 * n_perturbations,)
    constant: float  # quadratic form of the targets plus the log determinant of their noise


def _normal_equations(
    linear: _Linearised, data: ShiftObservations, n_rows: int, extra_sd: float
) -> _Normal:
    n_nodes = int(data.node.max()) + 1
    pair = data.perturbation * n_nodes + data.node
    _, pair = np.unique(pair, return_inverse=True)
    n_pairs = int(pair.max()) + 1
    weight = 1 / data.variance
    columns = np.column_stack([linear.gradient, linear.target])
    outer = np.einsum("o,oi,oj->oij", weight, columns, columns)
    total = np.zeros((n_rows, N_OUTPUTS + 1, N_OUTPUTS + 1))
    np.add.at(total, data.perturbation, outer)
    # Woodbury for the rank-one covariance extra_sd^2 h h^T of each pair.
    projected = np.zeros((n_pairs, N_OUTPUTS + 1))
    np.add.at(projected, pair, (weight * linear.response)[:, None] * columns)
    information = np.bincount(pair, weight * linear.response**2, n_pairs)
    shrink = extra_sd**2 / (1 + extra_sd**2 * information)
    owner = np.zeros(n_pairs, dtype=int)
    owner[pair] = data.perturbation
    np.add.at(total, owner, -shrink[:, None, None] * projected[:, :, None] * projected[:, None, :])
    blocks = [
        [np.diag(total[:, one, other]) for other in range(N_OUTPUTS)] for one in range(N_OUTPUTS)
    ]
    log_noise = np.log(data.variance).sum() + np.log1p(extra_sd**2 * information).sum()
    return _Normal(
        precision=np.block(blocks),
        right=total[:, :N_OUTPUTS, N_OUTPUTS].T.ravel(),
        constant=float(total[:, N_OUTPUTS, N_OUTPUTS].sum() + log_noise),
    )


def _posterior(model: EfficacyModel, normal: _Normal) -> tuple[FloatArray, float]:
    """Posterior mean of the rows and log evidence, both of the linearised model."""
    gram = block_diag(*model.prior_covariances())
    center = np.repeat(model.center, len(model.rows))
    right = normal.right - normal.precision @ center
    system = np.eye(len(gram)) + gram @ normal.precision
    deviation = np.linalg.solve(system, gram @ right)
    log_determinant = np.linalg.slogdet(system)[1]
    fit = normal.constant - 2 * center @ normal.right + center @ normal.precision @ center
    evidence = -0.5 * (fit - right @ deviation + log_determinant)
    rows = (center + deviation).reshape(N_OUTPUTS, -1).T
    return rows, float(evidence)


def _gauss_newton(model: EfficacyModel, data: ShiftObservations) -> EfficacyModel:
    extra_sd = float(np.exp(model.log_sd[6]))
    for _ in range(N_GAUSS_NEWTON):
        normal = _normal_equations(_linearise(model, data), data, len(model.rows), extra_sd)
        rows, _ = _posterior(model, normal)
        step = np.clip(rows - model.rows, -MAX_STEP, MAX_STEP)
        model = replace(model, rows=model.rows + step)
        model = replace(model, sensitivity=_update_sensitivity(model, data))
        if np.abs(step).max() < 1e-4:
            break
    return model


def _update_scales(model: EfficacyModel, data: ShiftObservations) -> EfficacyModel:
    linear = _linearise(model, data)

    def cost(log_sd: FloatArray) -> float:
        normal = _normal_equations(linear, data, len(model.rows), float(np.exp(log_sd[6])))
        return -_posterior(replace(model, log_sd=log_sd), normal)[1]

    found = minimize(
        cost,
        model.log_sd,
        method="L-BFGS-B",
        bounds=[LOG_SD_BOUNDS] * len(model.log_sd),
        options={"maxiter": 15},
    )
    return replace(model, log_sd=found.x, evidence=-float(found.fun))


def _alternate(
    model: EfficacyModel, data: ShiftObservations, n_rounds: int = N_ROUNDS
) -> EfficacyModel:
    for _ in range(n_rounds):
        model = _update_scales(_gauss_newton(model, data), data)
    model = _gauss_newton(model, data)
    return replace(model, extra=_extra_parts(model, data))


def _extra_parts(model: EfficacyModel, data: ShiftObservations) -> FloatArray:
    """Posterior mean of what rank one leaves of each seen pair."""
    response = _responses(model, data)
    predicted = model.rows[data.perturbation, 0] * model.sensitivity[data.node] * response
    shape = model.extra.shape
    pair = data.perturbation * shape[1] + data.node
    weighted = response / data.variance
    top = np.bincount(pair, weighted * (data.shift - predicted), shape[0] * shape[1])
    bottom = np.bincount(pair, weighted * response, shape[0] * shape[1])
    extra: FloatArray = top / (bottom + np.exp(-2 * model.log_sd[6]))
    return extra.reshape(shape)

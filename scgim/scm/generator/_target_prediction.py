from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray

# Ridge penalties relative to the mean eigenvalue, three per decade: from fitting all to fitting none.
PENALTIES = np.logspace(-6, 3, 28)
# Length scales of the smooth kernel, in median distances between perturbations; chosen, not tuned.
LENGTHS = (0.5, 1.0, 2.0)
# Least spread of a prediction: even a perfect left-out fit is not certain. Chosen, not tuned.
MIN_SPREAD = 0.03
# Keeps the left-out residual finite of a perturbation that a fit reproduces exactly.
MIN_LEFT_OVER = 1e-8
# The rate of targets over all nodes counts as one perturbation in that of each node.
PRIOR_WEIGHT = 1.0


@dataclass(frozen=True)
class Kernel:
    """Similarity of perturbations by their features.

    Attributes
    ----------
    kind
        ``"linear"``: mean product of features. ``"rbf"``: Gaussian of their distance.
    length
        Length scale of ``"rbf"`` in units of the root of the number of features.
    """

    kind: Literal["linear", "rbf"] = "linear"
    length: float = 1.0

    def __call__(self, one: FloatArray, other: FloatArray) -> FloatArray:
        """Compare all pairs.

        Parameters
        ----------
        one
            Features, standardised, shape ``(n_one, n_features)``.
        other
            Features, shape ``(n_other, n_features)``.

        Returns
        -------
        Similarities, shape ``(n_one, n_other)``.
        """
        n_features = one.shape[1]
        product: FloatArray = one @ other.T / n_features
        if self.kind == "linear":
            return product
        squares = (one**2).sum(1)[:, None] + (other**2).sum(1)
        distance = squares / n_features - 2 * product
        similarity: FloatArray = np.exp(-np.maximum(distance, 0.0) / (2 * self.length**2))
        return similarity


def candidate_kernels() -> list[Kernel]:
    """Kernels among which leave-one-perturbation-out chooses.

    Returns
    -------
    The linear one and Gaussians of three lengths.
    """
    return [Kernel(), *(Kernel("rbf", length) for length in LENGTHS)]


@dataclass(frozen=True)
class TargetPredictor:
    r"""Features of a perturbation → probability that each node is its target.

    Kernel ridge on the 0/1 targets of the seen perturbations, one row per perturbation: conditions
    never enter, since doses of one perturbation would leak. Kernel and penalty have the largest
    evidence of the Gaussian process that the ridge is, pooled over nodes: leaving one out cannot
    judge them where a node has a single perturbation. Left-out predictions of targets and other
    nodes then turn a prediction into a probability (linear discriminant), so that features that say
    nothing give back the base rate.

    Attributes
    ----------
    kernel
        The chosen kernel.
    features
        Features of the seen perturbations, shape ``(n_perturbations, n_features)``.
    dual
        Weights of the seen perturbations, shape ``(n_perturbations, n_nodes)``.
    base
        Share of perturbations that target each node, shape ``(n_nodes,)``.
    slope
        Log-odds per unit of the prediction.
    threshold
        Prediction at which the log-odds are those of the base rate.
    left_out_probability
        Probability of each target predicted without its own perturbation, shape
        ``(n_perturbations, n_nodes)``.
    left_out_error
        Mean squared error of the left-out predictions, relative to the base rate's; 1 means that
        the features say nothing.
    """

    kernel: Kernel
    features: FloatArray
    dual: FloatArray
    base: FloatArray
    slope: float
    threshold: float
    left_out_probability: FloatArray
    left_out_error: float

    @classmethod
    def fit(cls, features: FloatArray, is_target: BoolArray) -> TargetPredictor:
        """Learn from the seen perturbations.

        Parameters
        ----------
        features
            Standardised features, shape ``(n_perturbations, n_features)``.
        is_target
            Their targets, or probabilities of them, shape ``(n_perturbations, n_nodes)``.

        Returns
        -------
        The predictor.
        """
        labels = np.asarray(is_target, dtype=float)
        base = labels.mean(axis=0)
        centred = labels - base
        fits = [_kernel_ridge(kernel, features, centred) for kernel in candidate_kernels()]
        best = max(fits, key=lambda fit: fit.evidence)
        left_out = best.left_out
        prediction = left_out + base
        fair = _judged_fairly(labels)
        slope, threshold = _discriminant(prediction[fair], labels[fair])
        predictor = cls(
            kernel=best.kernel,
            features=features,
            dual=best.dual,
            base=base,
            slope=slope,
            threshold=threshold,
            left_out_probability=np.empty(0),
            left_out_error=_relative_error(left_out, centred),
        )
        object.__setattr__(predictor, "left_out_probability", predictor._to_probability(prediction))
        return predictor

    def probability(self, features: FloatArray) -> FloatArray:
        """Predict the targets of perturbations.

        Parameters
        ----------
        features
            Features, standardised as those of the seen perturbations.

        Returns
        -------
        Probabilities, shape ``(n_perturbations, n_nodes)``.
        """
        similarity = self.kernel(features, self.features)
        similarity = similarity - self.kernel(self.features, self.features).mean(axis=0)
        return self._to_probability(similarity @ self.dual + self.base)

    def permutation_p_value(
        self, is_target: BoolArray, n_permutations: int, rng: np.random.Generator
    ) -> float:
        """Say how often features permuted between perturbations predict left-out targets as well.

        Parameters
        ----------
        is_target
            Targets from which this was learned.
        n_permutations
            Number of permutations.
        rng
            Source of randomness.

        Returns
        -------
        The p value.
        """
        errors = [
            type(self).fit(rng.permutation(self.features), is_target).left_out_error
            for _ in range(n_permutations)
        ]
        as_good = sum(error <= self.left_out_error for error in errors)
        return (1 + as_good) / (1 + n_permutations)

    def _to_probability(self, prediction: FloatArray) -> FloatArray:
        n_seen = len(self.features)
        rate = (n_seen * self.base + PRIOR_WEIGHT * self.base.mean()) / (n_seen + PRIOR_WEIGHT)
        rate = np.clip(rate, 1e-3, 1 - 1e-3)
        log_odds = self.slope * (prediction - self.threshold) + np.log(rate / (1 - rate))
        probability: FloatArray = 1 / (1 + np.exp(-np.clip(log_odds, -30, 30)))
        return probability


class _KernelRidge(NamedTuple):
    kernel: Kernel
    evidence: float  # log evidence in nats, up to a constant
    dual: FloatArray  # (n_perturbations, n_nodes)
    left_out: FloatArray  # (n_perturbations, n_nodes) each row predicted without itself


def _kernel_ridge(kernel: Kernel, features: FloatArray, centred: FloatArray) -> _KernelRidge:
    """Fit kernel ridge with an intercept at the penalty of largest evidence."""
    n, n_nodes = centred.shape
    gram = kernel(features, features)
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(centring @ gram @ centring)
    # The smallest eigenvalue is that of the constant, which centring took away.
    values, vectors = np.maximum(values[1:], 0.0), vectors[:, 1:]
    projected = vectors.T @ centred
    power = (projected**2).sum(axis=1)
    ridged = values + PENALTIES[:, None] * max(values.mean(), 1e-12)
    variance = np.maximum((power / ridged).sum(axis=1), 1e-12) / ((n - 1) * n_nodes)
    evidence = -0.5 * n_nodes * ((n - 1) * np.log(variance) + np.log(ridged).sum(axis=1))
    best = int(evidence.argmax())
    smoother = (vectors * (values / ridged[best])) @ vectors.T
    left_over = np.maximum(1 - np.diag(smoother) - 1 / n, MIN_LEFT_OVER)[:, None]
    return _KernelRidge(
        kernel=kernel,
        evidence=float(evidence[best]),
        dual=(vectors / ridged[best]) @ projected,
        left_out=centred - (centred - smoother @ centred) / left_over,
    )


def _relative_error(left_out: FloatArray, centred: FloatArray) -> float:
    power = float((centred**2).mean())
    return float(((left_out - centred) ** 2).mean()) / power if power > 0 else 1.0


def _judged_fairly(labels: FloatArray) -> BoolArray:
    """Rows whose targets others have too; a target that no other row has cannot be left out."""
    has_lonely = ((labels > 0.5) & (labels.sum(axis=0) < 1.5)).any(axis=1)
    return ~has_lonely if has_lonely.mean() < 0.5 else np.ones(len(labels), dtype=bool)


def _discriminant(prediction: FloatArray, labels: FloatArray) -> tuple[float, float]:
    """Slope and threshold of the linear discriminant between targets and other nodes."""
    weight = labels.sum(), (1 - labels).sum()
    if min(weight) < 1:
        return 0.0, 0.0
    mean = (
        float((labels * prediction).sum() / weight[0]),
        float(((1 - labels) * prediction).sum() / weight[1]),
    )
    spread = labels * (prediction - mean[0]) ** 2 + (1 - labels) * (prediction - mean[1]) ** 2
    variance = max(float(spread.mean()), MIN_SPREAD**2)
    return max(mean[0] - mean[1], 0.0) / variance, (mean[0] + mean[1]) / 2

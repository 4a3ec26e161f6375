from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import nnls
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, LeaveOneOut, cross_val_predict
from sklearn.neighbors import KNeighborsRegressor

from scgim.scm.generator._gaussian_process import GaussianProcess
from scgim.scm.generator._perturbation_features import FeatureScaling
from scgim.scm.generator._prototypes import MechanismPrototypes

if TYPE_CHECKING:
    from sklearn.base import RegressorMixin

    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm.generator._empirical_bayes import RandomEffects

MEMBERS = ("ridge", "neighbours", "gaussian_process", "prototypes")
# Members that add up: a perturbation with two mechanisms gets the sum of their effects.
ADDITIVE_MEMBERS = ("ridge", "prototypes")
# The gate of the prototype study: far is beyond 1.25 times the 95 % quantile of the distances
# between seen neighbours; sums count where prototypes carry half of the additive members.
FAR_QUANTILE = 0.95
FAR_FACTOR = 1.25
MIN_PROTOTYPE_WEIGHT = 0.5
# Above this many perturbations, 50 folds: leaving each out would cost a fit for each.
MAX_LEAVE_ONE_OUT = 200
# With fewer, leaving one out leaves nothing to choose from.
MIN_PERTURBATIONS = 4
# From here on one Gaussian process is preferred to a stack that is not clearly better.
MANY_PERTURBATIONS = 100
CLEAR_GAIN = 0.02
# Up to this permutation p value the features are taken to say something.
INFORMATIVE_P_VALUE = 0.05
# The smallest p value is then 1 / 200.
N_PERMUTATIONS = 199


@dataclass(frozen=True)
class GeneratedEffects:
    """What the features of perturbations say about their interventions.

    Attributes
    ----------
    shift
        Mean shifts, shape ``(n, n_curves * n_nodes)``.
    log10_ec50
        Mean log10 EC50, shape ``(n,)``.
    n_summands
        Of how many known mechanisms each is seen as a sum, shape ``(n,)``; 1 unless ``is_far``.
    is_far
        Whether it is unlike all seen perturbations, so that only additive members speak, ``(n,)``.
    is_unknown
        Whether it is also unlike all sums of known mechanisms, where these are what predicts, ``(n,)``.
        It is then predicted to have no effect, for it may do anything that seen perturbations do.
    distance
        Distance to the most similar seen perturbation over the distance that counts as far.
    """

    shift: FloatArray
    log10_ec50: FloatArray
    n_summands: IntArray
    is_far: BoolArray
    is_unknown: BoolArray
    distance: FloatArray


@dataclass(frozen=True)
class GeneratorReport:
    """How well the features predict the interventions, by leaving perturbations out.

    Attributes
    ----------
    left_out_r2
        Share of the variance of left-out effects that each member predicts, and the whole.
    weights
        Weights of the members near known perturbations.
    far_weights
        Weights of the additive members far from them.
    feature_use
        Share of the variance between perturbations that the features explain.
    p_value
        How often features permuted between perturbations predict as well.
    is_informative
        Whether the features were shown to say something. If not, all weights are 0 and unseen
        perturbations are predicted to have no effect.
    """

    left_out_r2: dict[str, float]
    weights: dict[str, float]
    far_weights: dict[str, float]
    feature_use: float
    p_value: float
    is_informative: bool


class InterventionGenerator:
    """Perturbation features -> distribution over interventions.

    Learned on the effects of the seen perturbations after training, in about a second. Members are
    weighed by how well they predict left-out perturbations (weights at least 0, sum at most 1).
    Leaving one out measures interpolation, never extrapolation: a perturbation far from all known
    ones, or one that is a sum of prototypes, is predicted by the additive members only.

    One that is far from these sums, too, has a mechanism that no seen perturbation has, and is
    predicted to have no effect.

    Where a permutation test cannot tell the features from shuffled ones (p > 0.05), all weights
    are 0: an unseen perturbation is predicted to have no effect, not the mean effect of the others,
    which would look like knowledge.

    Parameters
    ----------
    features
        Features of the seen perturbations, shape ``(n, n_features)``.
    block_of_column
        Block of each column, shape ``(n_features,)``.
    effects
        Posterior effects of the seen perturbations; their means are learned.
    noise
        Variance with which each shift is known, shape ``(n,)``.
    ec50_noise
        Variance with which each log10 EC50 is known, shape ``(n,)``.

    Attributes
    ----------
    left_out_shift
        Shift of each seen perturbation predicted from the others, ``(n, n_curves * n_nodes)``.
    left_out_log10_ec50
        The same for log10 EC50, shape ``(n,)``.
    left_out_log10_ec50_variance
        Its variance, shape ``(n,)``.
    p_value
        How often features permuted between the seen perturbations predict as well.
    """

    def __init__(
        self,
        features: FloatArray,
        block_of_column: IntArray,
        effects: RandomEffects,
        *,
        noise: FloatArray,
        ec50_noise: FloatArray,
    ) -> None:
        self.scaling = FeatureScaling.fit(features, block_of_column)
        self._additive = self.scaling.additive(features)
        self._effects = effects
        self._mean_ec50 = float(effects.log10_ec50.mean())
        self._ec50_process = GaussianProcess(
            features, (effects.log10_ec50 - self._mean_ec50)[:, None], ec50_noise, self.scaling
        )
        self.left_out_log10_ec50 = self._ec50_process.leave_one_out[:, 0] + self._mean_ec50
        self.left_out_log10_ec50_variance = self._ec50_process.leave_one_out_variance

        self._process = GaussianProcess(features, effects.shift, noise, self.scaling)
        self._prototypes = MechanismPrototypes(self._additive, effects.shift)
        self._ridge = RidgeCV(np.logspace(-3, 4, 30)).fit(self._additive, effects.shift)
        n_neighbours = min(3, len(features) - 2)
        self._neighbours = KNeighborsRegressor(n_neighbours).fit(self._additive, effects.shift)
        self._left_out = {
            "ridge": leave_out(self._ridge, self._additive, effects.shift),
            "neighbours": leave_out(self._neighbours, self._additive, effects.shift),
            "gaussian_process": self._process.leave_one_out,
            "prototypes": self._prototypes.leave_one_out,
        }
        self.p_value = self._permutation_p_value(N_PERMUTATIONS, np.random.default_rng(0))
        self._weights, self._far_weights = self._weigh()
        self.left_out_shift = combine(self._weights, self._left_out)
        self._far_distance = self._distance_that_is_far()

    @property
    def is_informative(self) -> bool:
        """Whether the features were shown to say something about the interventions."""
        return self.p_value <= INFORMATIVE_P_VALUE

    def predict(self, features: FloatArray) -> GeneratedEffects:
        """Predict the interventions of perturbations, seen or not, from their features alone.

        Parameters
        ----------
        features
            Features, shape ``(m, n_features)``.

        Returns
        -------
        Mean effects, and how far they are from what is known.
        """
        additive = self.scaling.additive(features)
        prototypes, n_summands, from_sum = self._prototypes.predict(additive)
        members = {
            "ridge": self._ridge.predict(additive).reshape(prototypes.shape),
            "neighbours": self._neighbours.predict(additive).reshape(prototypes.shape),
            "gaussian_process": self._process.predict(features)[0],
            "prototypes": prototypes,
        }
        distance = self._neighbours.kneighbors(additive, 1)[0][:, 0] / self._far_distance
        is_far = distance > 1
        is_unknown = np.zeros_like(is_far)
        if self._far_weights["prototypes"] >= MIN_PROTOTYPE_WEIGHT:
            is_unknown = is_far & (from_sum > self._far_distance)
            is_far |= n_summands >= 2
        near, far = combine(self._weights, members), combine(self._far_weights, members)
        known = np.where(is_far[:, None], far, near)
        return GeneratedEffects(
            shift=np.where(is_unknown[:, None], 0.0, known),
            log10_ec50=self._ec50_process.predict(features)[0][:, 0] + self._mean_ec50,
            n_summands=np.where(is_far & ~is_unknown, n_summands, 1),
            is_far=is_far,
            is_unknown=is_unknown,
            distance=distance,
        )

    def draw_residuals(
        self,
        n_summands: IntArray,
        is_unknown: BoolArray,
        n_draws: int,
        rng: np.random.Generator,
    ) -> tuple[FloatArray, FloatArray]:
        """Draw how wrong the prediction of an unseen perturbation may be.

        A draw is what was wrong, in shift and EC50 together, with a left-out seen perturbation; a
        sum of mechanisms gets as many of them. Left-out perturbations say nothing of mechanisms that
        none of the others has, so where these may be at work a draw is how a seen perturbation
        differs from the mean of all.

        Parameters
        ----------
        n_summands
            Mechanisms of which each perturbation is a sum, shape ``(m,)``.
        is_unknown
            Which are unlike all known mechanisms, shape ``(m,)``.
        n_draws
            Number of draws.
        rng
            Source of randomness.

        Returns
        -------
        Residuals of the shifts, ``(n_draws, m, n_curves * n_nodes)``, and of log10 EC50,
        ``(n_draws, m)``.
        """
        shift = self._effects.shift - self.left_out_shift
        log10_ec50 = self._effects.log10_ec50 - self.left_out_log10_ec50
        chosen = rng.integers(len(shift), size=(n_summands.max(), n_draws, len(n_summands)))
        counts = (np.arange(n_summands.max())[:, None] < n_summands).astype(float)
        total = np.einsum("sm,sdmj->dmj", counts, shift[chosen])
        drawn_ec50 = log10_ec50[chosen[0]]
        seen = self._effects
        any_shift = (seen.shift - seen.shift.mean(axis=0))[chosen[0]]
        any_ec50 = (seen.log10_ec50 - self._mean_ec50)[chosen[0]]
        return (
            np.where(is_unknown[:, None], any_shift, total),
            np.where(is_unknown, any_ec50, drawn_ec50),
        )

    def report(self, n_permutations: int = 199, seed: int = 0) -> GeneratorReport:
        """Say how well the features predict the interventions.

        The permutation test uses a kernel that is fixed beforehand (Tanimoto, or linear plus
        radial basis functions of standardised features), so it is not biased by fitting.

        Parameters
        ----------
        n_permutations
            Permutations of the features between perturbations.
        seed
            Seed of the permutations.

        Returns
        -------
        The report.
        """
        predictions = {**self._left_out, "generator": self.left_out_shift}
        return GeneratorReport(
            left_out_r2={
                k: explained_share(self._effects.shift, v) for k, v in predictions.items()
            },
            weights=self._weights,
            far_weights=self._far_weights,
            feature_use=self._process.feature_use,
            p_value=self._permutation_p_value(n_permutations, np.random.default_rng(seed)),
            is_informative=self.is_informative,
        )

    def _weigh(self) -> tuple[dict[str, float], dict[str, float]]:
        nothing = dict.fromkeys(MEMBERS, 0.0)
        if not self.is_informative:
            return nothing, nothing
        near = stack(self._effects.shift, {name: self._left_out[name] for name in MEMBERS})
        far = stack(self._effects.shift, {name: self._left_out[name] for name in ADDITIVE_MEMBERS})
        far = nothing | far
        process_only = nothing | {"gaussian_process": 1.0}
        if len(self._effects.shift) < MANY_PERTURBATIONS:
            return near, far
        stacked = explained_share(self._effects.shift, combine(near, self._left_out))
        single = explained_share(self._effects.shift, self._left_out["gaussian_process"])
        return (near, far) if stacked > single + CLEAR_GAIN else (process_only, process_only)

    def _distance_that_is_far(self) -> float:
        distances = self._neighbours.kneighbors(self._additive, 2)[0][:, 1]
        return max(float(np.quantile(distances, FAR_QUANTILE)) * FAR_FACTOR, 1e-12)

    def _permutation_p_value(self, n_permutations: int, rng: np.random.Generator) -> float:
        kernel = self._process.fixed_kernel()
        precision = np.linalg.inv(kernel + np.eye(len(kernel)) * kernel.diagonal().mean())
        own = precision.diagonal()[:, None]

        def score(shift: FloatArray) -> float:
            return -float(((precision @ shift / own) ** 2).sum())

        shift = self._effects.shift
        observed = score(shift)
        permuted = [score(shift[rng.permutation(len(shift))]) for _ in range(n_permutations)]
        return (1 + sum(value >= observed for value in permuted)) / (1 + n_permutations)


def leave_out(estimator: RegressorMixin, features: FloatArray, outputs: FloatArray) -> FloatArray:
    """Predict each row from the others; in 50 folds when there are very many.

    Parameters
    ----------
    estimator
        scikit-learn regressor.
    features
        Shape ``(n, n_features)``.
    outputs
        Shape ``(n, n_outputs)``.

    Returns
    -------
    Predictions, shape ``(n, n_outputs)``.
    """
    many = len(features) > MAX_LEAVE_ONE_OUT
    folds = KFold(50, shuffle=True, random_state=0) if many else LeaveOneOut()
    predicted: FloatArray = cross_val_predict(estimator, features, outputs, cv=folds)
    return predicted.reshape(outputs.shape)


def stack(outputs: FloatArray, left_out: dict[str, FloatArray]) -> dict[str, float]:
    """Weigh members by their left-out predictions: weights at least 0, sum at most 1.

    Parameters
    ----------
    outputs
        What was to be predicted, shape ``(n, n_outputs)``.
    left_out
        Left-out prediction of each member, same shape.

    Returns
    -------
    Weight of each member.
    """
    design = np.stack([prediction.ravel() for prediction in left_out.values()], axis=1)
    weights = nnls(design, outputs.ravel())[0]
    weights = weights / max(1.0, weights.sum())
    return dict(zip(left_out, weights.tolist(), strict=True))


def combine(weights: dict[str, float], predictions: dict[str, FloatArray]) -> FloatArray:
    """Add up the predictions of the members."""
    total = np.zeros_like(next(iter(predictions.values())))
    for name, weight in weights.items():
        total += weight * predictions[name]
    return total


def explained_share(outputs: FloatArray, predictions: FloatArray) -> float:
    """Share of the sum of squares that is predicted; 0 is 'no effect'."""
    return 1 - float(((outputs - predictions) ** 2).sum() / (outputs**2).sum())

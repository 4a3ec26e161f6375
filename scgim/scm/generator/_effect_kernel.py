from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from scgim.scm.generator._perturbation_features import FeatureScaling, tanimoto

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray

# Penalties of the ridge, in units of the mean similarity of a perturbation to itself.
PENALTIES = np.logspace(-2, 3, 11)


@dataclass(frozen=True)
class EffectKernel:
    """Similarity of perturbations by their features, in blocks that add up.

    The mean of the Tanimoto similarity of each block of 0/1 features (fingerprints, targets,
    mechanisms) and, for other features, of a linear and a radial kernel of the standardised ones.

    Attributes
    ----------
    similarity
        Between the seen perturbations, shape ``(n_perturbations, n_perturbations)``.
    """

    similarity: FloatArray

    @classmethod
    def of(cls, features: FloatArray, scaling: FeatureScaling) -> EffectKernel:
        """Compare the seen perturbations with each other."""
        return cls(compare_features(features, features, scaling))

    def take(self, index: IntArray) -> EffectKernel:
        """Keep some perturbations."""
        return replace(self, similarity=self.similarity[np.ix_(index, index)])

    def fit_ridge(self, effect: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Kernel ridge regression of effects, its penalty by leaving one perturbation out.

        Parameters
        ----------
        effect
            Effects less their mean, shape ``(n_perturbations, n_genes)``.

        Returns
        -------
        Coefficients, and the prediction of each from the others, same shape. Both are 0 where no
        penalty predicts better than the mean of the others.
        """
        n = len(effect)
        values, vectors = np.linalg.eigh(self.similarity)
        values = np.maximum(values, 0.0)
        rotated = vectors.T @ effect
        unit = max(float(np.trace(self.similarity)) / n, 1e-12)
        # Leaving one out also changes the mean of the others, by this factor.
        best_loss = float((effect**2).sum()) * (n / (n - 1)) ** 2
        coefficients, left_out = np.zeros_like(effect), np.zeros_like(effect)
        for penalty in PENALTIES * unit:
            kept = values / (values + penalty)
            leverage = (vectors**2 * kept).sum(1)
            residual = (effect - vectors @ (kept[:, None] * rotated)) / (1 - leverage)[:, None]
            loss = float((residual**2).sum())
            if loss < best_loss:
                best_loss = loss
                coefficients = vectors @ (rotated / (values + penalty)[:, None])
                left_out = effect - residual
        return coefficients, left_out


def compare_features(left: FloatArray, right: FloatArray, scaling: FeatureScaling) -> FloatArray:
    """Similarity of perturbations by their features, shape ``(n_left, n_right)``.

    Parameters
    ----------
    left
        Features, shape ``(n_left, n_features)``.
    right
        Features, shape ``(n_right, n_features)``.
    scaling
        Scaling learned on the seen perturbations.
    """
    parts = [
        tanimoto(mine, theirs)
        for mine, theirs in zip(scaling.blocks(left), scaling.blocks(right), strict=True)
    ]
    if len(scaling.continuous):
        ours, others = scaling.standardise(left), scaling.standardise(right)
        width = ours.shape[1]
        squared = (ours**2).sum(1)[:, None] + (others**2).sum(1)[None] - 2 * ours @ others.T
        parts += [ours @ others.T / width, np.exp(-0.5 * np.maximum(squared, 0.0) / width)]
    if not parts:
        return np.zeros((len(left), len(right)))
    similarity: FloatArray = np.mean(parts, axis=0)
    return similarity

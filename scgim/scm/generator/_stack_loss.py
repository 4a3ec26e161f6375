from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np
from scipy.optimize import nnls

if TYPE_CHECKING:
    from scgim._types import FloatArray, IntArray

# What a prediction may rest on, beside "no effect", which is what is left of the weights.
POPULATION, NEIGHBOURS, KERNEL, CAUSAL = MEMBERS = (
    "population mean",
    "nearest perturbations",
    "feature kernel",
    "causal generator",
)


@dataclass(frozen=True)
class MeasuredEffects:
    """Measured mean shifts of seen perturbations, on which members are fitted and weighed.

    Attributes
    ----------
    perturbation
        Row of each condition's perturbation, shape ``(n_rows,)``.
    log10_dose
        Dose, log10, same shape; infinity where there is no dose.
    shift
        Mean shift of expression, shape ``(n_rows, n_genes)``.
    variance
        Its sampling variance, same shape.
    """

    perturbation: IntArray
    log10_dose: FloatArray
    shift: FloatArray
    variance: FloatArray


@dataclass(frozen=True)
class StackLoss:
    """Weighted squared error of any sum of members, perturbation by perturbation.

    Attributes
    ----------
    names
        The members.
    gram
        Products of the members, summed over the conditions and genes of each perturbation, shape
        ``(n_perturbations, n_members, n_members)``.
    target
        Products of the members and what was measured, shape ``(n_perturbations, n_members)``.
    total
        Squares of what was measured, shape ``(n_perturbations,)``.
    noise
        What sampling noise adds to them, same shape.
    """

    names: tuple[str, ...]
    gram: FloatArray
    target: FloatArray
    total: FloatArray
    noise: FloatArray

    @classmethod
    def of(cls, measured: MeasuredEffects, left_out: dict[str, FloatArray]) -> Self:
        """Sum products over conditions and genes.

        A shift is weighed by one over its sampling variance plus what perturbations differ by in this
        gene, so that neither a gene that all move nor a condition of many cells decides alone.

        Parameters
        ----------
        measured
            Measured shifts.
        left_out
            What each member predicts of them with their perturbation left out.

        Returns
        -------
        The loss.
        """
        variance = measured.variance
        excess = (measured.shift - left_out[POPULATION]) ** 2 - variance
        weight = 1 / (variance + np.maximum(excess.mean(0), 0.0) + 1e-12)
        present, code = np.unique(measured.perturbation, return_inverse=True)

        def add(values: FloatArray) -> FloatArray:
            summed = np.bincount(code, (weight * values).sum(1), minlength=len(present))
            return np.asarray(summed, dtype=np.float64)

        names = tuple(left_out)
        gram = np.zeros((len(present), len(names), len(names)))
        target = np.zeros((len(present), len(names)))
        for i, one in enumerate(names):
            target[:, i] = add(left_out[one] * measured.shift)
            for j in range(i + 1):
                gram[:, i, j] = gram[:, j, i] = add(left_out[one] * left_out[names[j]])
        return cls(names, gram, target, add(measured.shift**2), add(variance))

    def of_weights(self, weights: FloatArray) -> FloatArray:
        """Loss of each perturbation under weights of the members, its own or common ones."""
        weights = np.broadcast_to(weights, self.target.shape)
        squared = np.einsum("pi,pij,pj->p", weights, self.gram, weights)
        loss: FloatArray = self.total - 2 * (weights * self.target).sum(1) + squared
        return loss

    def choose(self, members: tuple[str, ...]) -> tuple[dict[str, float], bool]:
        """Weigh members, unless one of them alone is as good.

        The sum is judged with weights that were found without the perturbation it predicts. It must
        not be worse than its best member, or than no effect, by more than the standard error of their
        difference over perturbations.

        Parameters
        ----------
        members
            Which members may have a weight.

        Returns
        -------
        Weights, and whether they are those of a single member.
        """
        place = [self.names.index(name) for name in members if name in self.names]
        all_but_one = [
            self._solve(self.gram.sum(0) - gram, self.target.sum(0) - target, place)
            for gram, target in zip(self.gram, self.target, strict=True)
        ]
        of_stack = self.of_weights(np.array(all_but_one))
        alone = np.eye(len(self.names))[place]
        candidates = [np.zeros(len(self.names)), *alone]
        losses = np.array([self.of_weights(candidate) for candidate in candidates])
        best = int(losses.sum(1).argmin())
        difference = of_stack - losses[best]
        error = difference.std(ddof=1) * np.sqrt(len(difference))
        is_worse = difference.sum() > error
        weights = (
            candidates[best]
            if is_worse
            else self._solve(self.gram.sum(0), self.target.sum(0), place)
        )
        kept = {self.names[i]: float(weights[i]) for i in place}
        return kept, bool(is_worse)

    def report(self, used: dict[str, float]) -> dict[str, float]:
        """Share of the squared shifts, less noise, that members and the sum predict."""
        size = max(float((self.total - self.noise).sum()), 1e-12)
        vectors = dict(zip(self.names, np.eye(len(self.names)), strict=True))
        vectors["used"] = np.array([used.get(name, 0.0) for name in self.names])
        return {
            name: 1 - float((self.of_weights(vector) - self.noise).sum()) / size
            for name, vector in vectors.items()
        }

    def _solve(self, gram: FloatArray, target: FloatArray, place: list[int]) -> FloatArray:
        """Non-negative least squares by the normal equations."""
        weights = np.zeros(len(self.names))
        chosen = gram[np.ix_(place, place)]
        jitter = 1e-9 * max(float(np.trace(chosen)), 1e-12)
        factor = np.linalg.cholesky(chosen + jitter * np.eye(len(place)))
        weights[place] = nnls(factor.T, np.linalg.solve(factor, target[place]))[0]
        return weights

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scgim.scm.generator._perturbation_features import FeatureScaling, tanimoto

if TYPE_CHECKING:
    from scgim._types import FloatArray

JITTER = 1e-6
# Outputs smaller than this are rounding errors of zero.
MIN_SCALE = 1e-6
N_ITERATIONS = 100
# Prior means of the log amplitudes and log length scale; their prior sd is 1.5.
PRIOR_MEANS = {"constant": -1.0, "nugget": -1.5, "linear": 0.0, "smooth": 0.0, "length": 0.3}
PRIOR_SD = 1.5
# Beyond these, amplitudes and length scales change nothing but the conditioning of the kernel.
LOG_LIMITS = (-8.0, 4.0)


@dataclass(frozen=True)
class KernelInputs:
    """Perturbations as a kernel sees them.

    Attributes
    ----------
    standardised
        Continuous features, shape ``(n, n_continuous)``.
    blocks
        Blocks of 0/1 features, each ``(n, n_bits)``.
    """

    standardised: Tensor
    blocks: tuple[FloatArray, ...]

    @classmethod
    def from_features(cls, features: FloatArray, scaling: FeatureScaling) -> KernelInputs:
        """Bring features to scale.

        Parameters
        ----------
        features
            Features, shape ``(n, n_features)``.
        scaling
            Scaling learned on the seen perturbations.

        Returns
        -------
        The inputs.
        """
        return cls(torch.as_tensor(scaling.standardise(features)), tuple(scaling.blocks(features)))

    def similarities(self, other: KernelInputs) -> list[Tensor]:
        """Tanimoto similarity to other perturbations, one matrix per block."""
        pairs = zip(self.blocks, other.blocks, strict=True)
        return [torch.as_tensor(tanimoto(mine, theirs)) for mine, theirs in pairs]


class GaussianProcess:
    r"""Perturbation features -> rows, with one kernel for all outputs.

    .. math::
        K = c^2 + \ell^2 \frac{(Xw)(Xw)^\top}{p} + r^2 e^{-|(x - x')w|^2 / 2ps^2}
        + \sum_b t_b^2 \mathrm{Tanimoto}_b + \tau^2 I + \mathrm{diag}(\text{noise}),

    hyper-parameters by the largest marginal likelihood times weak log-normal priors (Rasmussen
    and Williams 2006, section 5.4). One kernel for all outputs makes the mean independent of the
    gauge. The nugget :math:`\tau^2` is what the features do not explain.

    Parameters
    ----------
    features
        Features of the seen perturbations, shape ``(n, n_features)``.
    outputs
        What is predicted, shape ``(n, n_outputs)``.
    noise
        Variance with which each output row is known, shape ``(n,)``.
    scaling
        Scaling of the features.

    Attributes
    ----------
    leave_one_out
        Mean prediction of each row from the others, shape ``(n, n_outputs)``.
    leave_one_out_variance
        Its variance, shape ``(n,)``.
    """

    def __init__(
        self, features: FloatArray, outputs: FloatArray, noise: FloatArray, scaling: FeatureScaling
    ) -> None:
        self.scaling = scaling
        self.inputs = KernelInputs.from_features(features, scaling)
        self._similarities = self.inputs.similarities(self.inputs)
        size = float(np.sqrt(np.mean(outputs**2)))
        self.scale = size if size > MIN_SCALE else 1.0
        self._outputs = torch.as_tensor(outputs / self.scale)
        self._noise = torch.as_tensor(noise / self.scale**2)
        self._log = self._maximise()
        self._condition()

    @property
    def feature_use(self) -> float:
        """Share of the variance between perturbations that the features explain, 0 to 1.

        What the *other* perturbations explain of each: a kernel so narrow that nothing reaches a
        neighbour is a nugget, whatever its amplitude.
        """
        with torch.no_grad():
            kernel = self._kernel(self._log, self.inputs, self.inputs, self._similarities)
            constant = self._log["constant"].exp().square()
            between = kernel.diagonal() - constant + self._log["nugget"].exp().square()
            total = self._covariance(self._log).diagonal()
            explained = total - 1 / self._precision.diagonal() - constant
            return float(explained.clamp(min=0).sum() / between.sum())

    @torch.no_grad()
    def fixed_kernel(self) -> FloatArray:
        """Kernel of the seen perturbations at the prior means of all hyper-parameters.

        Returns
        -------
        Shape ``(n, n)``; the nugget is not in it.
        """
        log = _prior_means(self.inputs)
        return self._kernel(log, self.inputs, self.inputs, self._similarities).numpy()

    @torch.no_grad()
    def predict(self, features: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Predict the rows of perturbations.

        Parameters
        ----------
        features
            Features, shape ``(m, n_features)``.

        Returns
        -------
        Mean, shape ``(m, n_outputs)``, and variance of each row, nugget included, ``(m,)``.
        """
        new = KernelInputs.from_features(features, self.scaling)
        similarities = new.similarities(self.inputs)
        cross = self._kernel(self._log, new, self.inputs, similarities)
        own = torch.stack(
            [self._kernel(self._log, one, one, one.similarities(one))[0, 0] for one in _rows(new)]
        )
        variance = own - (cross @ self._precision * cross).sum(1)
        variance = (variance + self._log["nugget"].exp().square()).clamp(min=JITTER)
        mean = (cross @ self._weights) * self.scale
        return mean.numpy(), variance.numpy() * self.scale**2

    def _kernel(
        self,
        log: dict[str, Tensor],
        left: KernelInputs,
        right: KernelInputs,
        similarities: list[Tensor],
    ) -> Tensor:
        n_columns = left.standardised.shape[1]
        kernel = (
            log["constant"].exp().square().expand(len(left.standardised), len(right.standardised))
        )
        if n_columns:
            a, b = (
                left.standardised * log["weights"].exp(),
                right.standardised * log["weights"].exp(),
            )
            product = a @ b.T
            squared = a.square().sum(1)[:, None] + b.square().sum(1)[None] - 2 * product
            decay = -0.5 * squared.clamp(min=0) / n_columns / log["length"].exp().square()
            kernel = kernel + log["linear"].exp().square() * product / n_columns
            kernel = kernel + log["smooth"].exp().square() * decay.exp()
        for amplitude, similarity in zip(log["blocks"], similarities, strict=True):
            kernel = kernel + amplitude.exp().square() * similarity
        return kernel

    def _covariance(self, log: dict[str, Tensor]) -> Tensor:
        kernel = self._kernel(log, self.inputs, self.inputs, self._similarities)
        return kernel + torch.diag(log["nugget"].exp().square() + self._noise + JITTER)

    def _negative_log_posterior(self, log: dict[str, Tensor]) -> Tensor:
        factor = torch.linalg.cholesky(self._covariance(log))
        whitened = torch.linalg.solve_triangular(factor, self._outputs, upper=False)
        fit = self._outputs.shape[1] * factor.diagonal().log().sum() + 0.5 * whitened.square().sum()
        amplitudes = sum(
            (log[name] - mean).square() / PRIOR_SD**2 for name, mean in PRIOR_MEANS.items()
        )
        blocks = log["blocks"].square().sum() / PRIOR_SD**2
        posterior: Tensor = fit + 0.5 * (amplitudes + blocks + log["weights"].square().sum())
        return posterior

    def _maximise(self) -> dict[str, Tensor]:
        log = {name: mean.requires_grad_() for name, mean in _prior_means(self.inputs).items()}
        optimizer = torch.optim.LBFGS(
            list(log.values()),
            lr=0.5,
            max_iter=N_ITERATIONS,
            line_search_fn="strong_wolfe",
            tolerance_grad=1e-4,
            tolerance_change=1e-7,
        )

        def closure() -> Tensor:
            optimizer.zero_grad()
            # A step of the line search may be so long that the kernel overflows.
            limited = {name: value.clamp(*LOG_LIMITS) for name, value in log.items()}
            loss = self._negative_log_posterior(limited) + _excess(log)
            loss.backward()  # type: ignore[no-untyped-call]
            return loss

        optimizer.step(closure)  # type: ignore[no-untyped-call]
        return {name: value.detach().clamp(*LOG_LIMITS) for name, value in log.items()}

    @torch.no_grad()
    def _condition(self) -> None:
        self._precision = torch.linalg.inv(self._covariance(self._log))
        self._weights = self._precision @ self._outputs
        own = self._precision.diagonal()
        left_out = self._outputs - self._weights / own[:, None]
        residual = (self._outputs - left_out) * own.sqrt()[:, None]
        inflation = residual.square().mean()
        self.leave_one_out: FloatArray = left_out.numpy() * self.scale
        variance = (inflation / own).clamp(min=JITTER)
        self.leave_one_out_variance: FloatArray = variance.numpy() * self.scale**2


def _excess(log: dict[str, Tensor]) -> Tensor:
    """How far hyper-parameters lie outside their limits, squared and summed."""
    outside = [(value - value.clamp(*LOG_LIMITS)).square().sum() for value in log.values()]
    return torch.stack(outside).sum()


def _prior_means(inputs: KernelInputs) -> dict[str, Tensor]:
    log = {name: torch.tensor(mean) for name, mean in PRIOR_MEANS.items()}
    log["blocks"] = torch.zeros(len(inputs.blocks))
    log["weights"] = torch.zeros(inputs.standardised.shape[1])
    return {name: mean.double() for name, mean in log.items()}


def _rows(inputs: KernelInputs) -> list[KernelInputs]:
    return [
        KernelInputs(inputs.standardised[i : i + 1], tuple(b[i : i + 1] for b in inputs.blocks))
        for i in range(len(inputs.standardised))
    ]

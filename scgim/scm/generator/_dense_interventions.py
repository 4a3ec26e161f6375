from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from scgim.scm._intervention_distribution import InterventionDistribution
from scgim.scm._interventions import Intervention, shift_nodes

if TYPE_CHECKING:
    from scgim._types import BoolArray, FloatArray, IntArray
    from scgim.scm.generator._fit_interventions import InterventionFit
    from scgim.scm.generator._intervention_generator import InterventionGenerator
    from scgim.scm.generator._intervention_table import InterventionTable


PER_ENTRY = (
    "shift",
    "log10_ec50",
    "shift_variance",
    "log10_ec50_variance",
    "is_seen",
    "n_summands",
    "is_unknown",
    "distance",
    "hill",
    "row",
)


@dataclass(frozen=True, kw_only=True)
class DenseInterventions(InterventionDistribution):
    """Dense shifts of all nodes: random effects of seen perturbations, generated ones of others.

    What is drawn around a seen perturbation is posterior noise, and around an unseen one what was
    wrong with left-out seen perturbations
    (:meth:`~scgim.scm.InterventionGenerator.draw_residuals`).

    Attributes
    ----------
    shift
        Mean shifts, shape ``(n_entries, n_curves * n_nodes)``, in noise standard deviations.
    shift_variance
        Posterior variance of the shifts of seen perturbations, shape ``(n_entries,)``; 0 for others.
    log10_ec50_variance
        Posterior variance of their log10 EC50, same shape.
    table
        The intervention table, which knows the shape of the dose response.
    slope
        Slope of the Hill curves.
    generator
        Draws the errors of unseen perturbations; ``None`` if there are none.
    row
        Row of the table of each entry, shape ``(n_entries,)``; unseen perturbations follow the rows of
        the table, in the order of ``unseen_features``.
    unseen_features
        Features of the unseen perturbations, shape ``(n_unseen, n_features)``.
    """

    shift: FloatArray
    shift_variance: FloatArray
    log10_ec50_variance: FloatArray
    table: InterventionTable
    slope: float
    generator: InterventionGenerator | None
    row: IntArray
    unseen_features: FloatArray | None = None

    @classmethod
    def of_seen(cls, fit: InterventionFit, table: InterventionTable) -> DenseInterventions:
        """Believe what the cells and the features say of the perturbations of training.

        Parameters
        ----------
        fit
            How well the effects are known.
        table
            The effects, as the module predicts with them.

        Returns
        -------
        One entry per row of the table.
        """
        n = len(table.shift)
        return cls(
            shift=table.shift.detach().double().cpu().numpy().reshape(n, -1),
            log10_ec50=table.log10_ec50.detach().double().cpu().numpy(),
            shift_variance=fit.effects.shift_variance,
            log10_ec50_variance=fit.effects.log10_ec50_variance,
            is_seen=np.ones(n, dtype=bool),
            n_summands=np.ones(n, dtype=int),
            is_unknown=np.zeros(n, dtype=bool),
            distance=np.zeros(n),
            hill=np.full(n, fit.hill if table.anchors is None else np.nan),
            table=table,
            slope=fit.hill,
            generator=fit.generator,
            row=np.arange(n),
        )

    def append_unseen(self, features: FloatArray) -> DenseInterventions:
        """Put behind them what features say of perturbations that were not in training.

        Parameters
        ----------
        features
            Their features, shape ``(n_unseen, n_features)``.

        Returns
        -------
        Entries of the seen perturbations, then of the unseen ones.
        """
        assert self.generator is not None
        generated = self.generator.predict(features)
        n = len(features)
        added = {
            "shift": generated.shift,
            "log10_ec50": generated.log10_ec50,
            "shift_variance": np.zeros(n),
            "log10_ec50_variance": np.zeros(n),
            "is_seen": np.zeros(n, dtype=bool),
            "n_summands": generated.n_summands,
            "is_unknown": generated.is_unknown,
            "distance": generated.distance,
            "hill": np.full(n, self.slope if self.table.anchors is None else np.nan),
            "row": len(self.table.shift) + np.arange(n),
        }
        joined: dict[str, Any] = {
            key: np.concatenate([getattr(self, key), new]) for key, new in added.items()
        }
        return replace(self, **joined, unseen_features=features)

    def take(self, index: IntArray) -> DenseInterventions:
        """Pick entries.

        Parameters
        ----------
        index
            Which, in any order and as often as wanted.

        Returns
        -------
        The entries.
        """
        return replace(self, **{key: getattr(self, key)[index] for key in PER_ENTRY})

    @property
    def is_far(self) -> BoolArray:
        """Whether each is unlike all seen perturbations, so that only sums of them tell about it."""
        return (self.distance > 1) | (self.n_summands > 1)

    def features_of_unseen(self) -> FloatArray:
        """Features of the entries, all of which are unseen, shape ``(n_entries, n_features)``."""
        assert self.unseen_features is not None
        return self.unseen_features[self.row - len(self.table.shift)]

    @property
    def is_uncertain(self) -> BoolArray:
        """Whether only features tell about each, and they tell something."""
        tells = self.generator is not None and self.generator.is_informative
        return ~self.is_seen & ~self.is_unknown & tells

    def mean(self, log10_dose: FloatArray) -> Intervention:
        """Mean intervention at doses, see :class:`~scgim.scm.InterventionDistribution`."""
        return self._respond(self.shift, self.log10_ec50, log10_dose)

    def sample(
        self, log10_dose: FloatArray, n_draws: int, rng: np.random.Generator
    ) -> Intervention:
        """Draw interventions, shape ``(n_draws, n_entries, n_nodes)``.

        Their mean is that of :meth:`mean`: few draws would else move it by chance.
        """
        shift, log10_ec50 = self._sample_effects(n_draws, rng)
        drawn = self._respond(shift, log10_ec50, log10_dose)
        return shift_nodes(drawn.shift - drawn.shift.mean(0) + self.mean(log10_dose).shift)

    def strength(self, log10_dose: FloatArray) -> FloatArray:
        """Size of the shift at doses relative to its size at saturation.

        Parameters
        ----------
        log10_dose
            Dose of each entry, log10, shape ``(n_entries,)``.

        Returns
        -------
        Between 0 and 1 for Hill curves, exactly 0 at dose zero; shape ``(n_entries,)``.
        """
        if self.table.anchors is None:
            with torch.no_grad():
                return self.table.cpu_response(log10_dose, self.log10_ec50, self.slope)[..., 0]
        reached = self._respond(self.shift, self.log10_ec50, log10_dose).shift.norm(dim=-1)
        top = self._respond(self.shift, self.log10_ec50, np.full_like(log10_dose, np.inf))
        strength: FloatArray = (reached / top.shift.norm(dim=-1).clamp(min=1e-12)).numpy()
        return strength

    def sample_log10_ec50(self, n_draws: int, rng: np.random.Generator) -> FloatArray:
        """Draw log10 EC50, shape ``(n_draws, n_entries)``."""
        return self._sample_effects(n_draws, rng)[1]

    def _respond(
        self, shift: FloatArray, log10_ec50: FloatArray, log10_dose: FloatArray
    ) -> Intervention:
        moved = respond(self.table, self.slope, shift, log10_ec50, log10_dose)
        return shift_nodes(torch.as_tensor(moved))

    def _sample_effects(
        self, n_draws: int, rng: np.random.Generator
    ) -> tuple[FloatArray, FloatArray]:
        """Effects with posterior noise where seen, and left-out residuals where not."""
        shift = rng.standard_normal((n_draws, *self.shift.shape))
        shift *= np.sqrt(self.shift_variance)[:, None]
        log10_ec50 = rng.standard_normal((n_draws, len(self.log10_ec50)))
        log10_ec50 *= np.sqrt(self.log10_ec50_variance)
        unseen = ~self.is_seen
        if self.generator is not None and unseen.any():
            n_summands, is_unknown = self.n_summands[unseen], self.is_unknown[unseen]
            drawn = self.generator.draw_residuals(n_summands, is_unknown, n_draws, rng)
            shift[:, unseen], log10_ec50[:, unseen] = drawn
        return self.shift + shift, self.log10_ec50 + log10_ec50


def respond(
    table: InterventionTable,
    hill: float,
    shift: FloatArray,
    log10_ec50: FloatArray,
    log10_dose: FloatArray,
) -> FloatArray:
    """Shift of perturbations at doses, for effects that need not be those of the table.

    Parameters
    ----------
    table
        The intervention table, which knows the shape of the dose response.
    hill
        Slope of the Hill curves.
    shift
        Shifts of the curves, shape ``(..., n, n_curves * n_nodes)``.
    log10_ec50
        Shape ``(..., n)``; not used by fixed curves.
    log10_dose
        Shape ``(n,)``; minus infinity is dose zero, infinity saturation.

    Returns
    -------
    Shape ``(..., n, n_nodes)``.
    """
    with torch.no_grad():
        response = table.cpu_response(log10_dose, log10_ec50, hill)
    n_curves = response.shape[-1]
    curves = shift.reshape(*shift.shape[:-1], n_curves, shift.shape[-1] // n_curves)
    moved: FloatArray = np.einsum("...nc,...ncj->...nj", response, curves)
    return moved

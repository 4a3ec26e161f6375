from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from scgim._messages import quote_some, warn
from scgim.data._feature_checks import check_new_features
from scgim.scm import Intervention, shift_nodes

if TYPE_CHECKING:
    import pandas as pd

    from scgim.scm import InterventionFit, InterventionGenerator, InterventionTable
    from scgim.spaces._latent_fit import LatentFit


@dataclass(frozen=True)
class LatentRows:
    """Dense shifts of named perturbations, from the intervention table or from the generator.

    Attributes
    ----------
    shift
        Mean shifts, shape ``(n_entries, n_curves * n_nodes)``.
    log10_ec50
        Mean log10 EC50.
    shift_variance
        Posterior variance of the shifts of seen perturbations, shape ``(n_entries,)``.
    log10_ec50_variance
        Posterior variance of their log10 EC50.
    is_seen
        Whether each was in training.
    n_summands
        Of how many known mechanisms each is seen as a sum.
    is_unknown
        Whether each is unlike all known mechanisms and their sums.
    distance
        Distance to the nearest seen perturbation by features.
    table
        The intervention table, which knows the shape of the dose response.
    slope
        Slope of the Hill curves.
    generator
        Draws the errors of unseen perturbations; ``None`` if there are none.
    """

    shift: np.ndarray
    log10_ec50: np.ndarray
    shift_variance: np.ndarray
    log10_ec50_variance: np.ndarray
    is_seen: np.ndarray
    n_summands: np.ndarray
    is_unknown: np.ndarray
    distance: np.ndarray
    table: InterventionTable
    slope: float
    generator: InterventionGenerator | None

    @property
    def hill(self) -> np.ndarray:
        """Slope of each Hill curve; NaN for a free dose response."""
        slope = self.slope if self.table.anchors is None else np.nan
        return np.full(len(self.log10_ec50), slope)

    @property
    def is_uncertain(self) -> np.ndarray:
        """Whether only features tell about it, and they tell something."""
        tells = self.generator is not None and self.generator.is_informative
        return ~self.is_seen & ~self.is_unknown & tells

    def at(self, log10_dose: np.ndarray) -> Intervention:
        """Mean intervention at doses, see :class:`~scgim.model._conditions.PerturbationRows`."""
        return self._respond(self.shift, self.log10_ec50, log10_dose)

    def draw(self, log10_dose: np.ndarray, n_draws: int, rng: np.random.Generator) -> Intervention:
        """Draw interventions, shape ``(n_draws, n_entries, n_nodes)``.

        Their mean is that of :meth:`at`: few draws would else move it by chance.
        """
        shift, log10_ec50 = self._draw_rows(n_draws, rng)
        drawn = self._respond(shift, log10_ec50, log10_dose)
        return shift_nodes(drawn.shift - drawn.shift.mean(0) + self.at(log10_dose).shift)

    def draw_log10_ec50(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw log10 EC50, shape ``(n_draws, n_entries)``."""
        return self._draw_rows(n_draws, rng)[1]

    def _respond(
        self, shift: np.ndarray, log10_ec50: np.ndarray, log10_dose: np.ndarray
    ) -> Intervention:
        moved = respond(self.table, self.slope, shift, log10_ec50, log10_dose)
        return shift_nodes(torch.as_tensor(moved))

    def _draw_rows(self, n_draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows with posterior noise where seen, and left-out residuals where not."""
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

    @classmethod
    def look_up(cls, fit: LatentFit, names: list[str], features: pd.DataFrame | None) -> LatentRows:
        """Collect the rows of named perturbations.

        Parameters
        ----------
        fit
            What was learned.
        names
            Perturbations, seen or not.
        features
            Features of perturbations that are not in the registered table.

        Returns
        -------
        One entry per name.
        """
        table = fit.screen.table
        seen_names = table.perturbations
        unseen_names = sorted(set(names) - set(seen_names))
        place = {name: i for i, name in enumerate([*seen_names, *unseen_names])}
        index = np.array([place[name] for name in names], dtype=int)
        learned, rows = fit.interventions, fit.table
        parts = [_of_seen(learned, rows)]
        if unseen_names:
            new = check_new_features(features, table.features, unseen_names)
            generator = fit.require_generator()
            warn_if_features_say_nothing(
                unseen_names, generator.p_value, is_informative=generator.is_informative
            )
            parts.append(_of_unseen(generator, new))
            warn_if_mechanism_is_unknown(
                [
                    name
                    for name, is_unknown in zip(unseen_names, parts[-1]["is_unknown"], strict=True)
                    if is_unknown
                ]
            )
        columns = {key: np.concatenate([part[key] for part in parts])[index] for key in parts[0]}
        return cls(**columns, table=rows, slope=learned.hill, generator=learned.generator)


def _of_seen(fit: InterventionFit, table: InterventionTable) -> dict[str, np.ndarray]:
    n = len(table.shift)
    return {
        "shift": table.shift.detach().double().cpu().numpy().reshape(n, -1),
        "log10_ec50": table.log10_ec50.detach().double().cpu().numpy(),
        "shift_variance": fit.rows.shift_variance,
        "log10_ec50_variance": fit.rows.log10_ec50_variance,
        "is_seen": np.ones(n, bool),
        "n_summands": np.ones(n, int),
        "is_unknown": np.zeros(n, bool),
        "distance": np.zeros(n),
    }


def _of_unseen(generator: InterventionGenerator, features: np.ndarray) -> dict[str, np.ndarray]:
    generated = generator.predict(features)
    n = len(features)
    return {
        "shift": generated.shift,
        "log10_ec50": generated.log10_ec50,
        "shift_variance": np.zeros(n),
        "log10_ec50_variance": np.zeros(n),
        "is_seen": np.zeros(n, bool),
        "n_summands": generated.n_summands,
        "is_unknown": generated.is_unknown,
        "distance": generated.distance,
    }


def respond(
    table: InterventionTable,
    hill: float,
    shift: np.ndarray,
    log10_ec50: np.ndarray,
    log10_dose: np.ndarray,
) -> np.ndarray:
    """Shift of perturbations at doses, for rows that need not be those of the table.

    Parameters
    ----------
    table
        The intervention table, which knows the shape of the dose response.
    hill
        Slope of the Hill curves.
    shift
        Rows, shape ``(..., n, n_curves * n_nodes)``.
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
    return np.einsum("...nc,...ncj->...nj", response, curves)


def warn_if_features_say_nothing(names: list[str], p_value: float, *, is_informative: bool) -> None:
    """Warn that unseen perturbations are predicted to have no effect, for want of information.

    Parameters
    ----------
    names
        Unseen perturbations.
    p_value
        How often shuffled features predict as well.
    is_informative
        Whether the features were shown to say something.
    """
    if not is_informative:
        warn(
            f"Unseen perturbations {quote_some(names)} are predicted to have no effect, because the "
            "features of the seen ones cannot be told from shuffled ones (permutation p = "
            f"{p_value:.2g}). This is a default and no finding. Give features that say more about "
            "mechanisms, and see `GIM.get_generator_report`."
        )


def warn_if_mechanism_is_unknown(names: list[str]) -> None:
    """Warn that unseen perturbations are predicted to have no effect, for nothing like them was run.

    Parameters
    ----------
    names
        Perturbations whose features are unlike those of all seen ones and of their sums.
    """
    if names:
        warn(
            f"Unseen perturbations {quote_some(names)} are predicted to have no effect, because their "
            "features are unlike those of every seen perturbation and of every sum of known mechanisms. "
            "This is a default and no finding; intervals are as wide as the effects of seen "
            "perturbations. Leave them out with `GIM.predict(..., abstain=True)`, or run one of their "
            "kind."
        )

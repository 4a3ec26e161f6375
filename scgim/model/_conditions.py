from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import pandas as pd
import torch

from scgim._validation import (
    check_conditions,
    check_new_features,
    warn_if_features_say_nothing,
)

if TYPE_CHECKING:
    from scgim.model._parts import ModelParts
    from scgim.scm import InterventionFit, InterventionGenerator, InterventionTable

ConditionsLike: TypeAlias = pd.DataFrame | Iterable[tuple[str, float]] | Iterable[str]


@dataclass(frozen=True)
class Conditions:
    """Conditions with the interventions that the model thinks they are.

    A condition has one entry for each perturbation in it, and none for the control.

    Attributes
    ----------
    obs
        One row per condition: the user's columns, ``is_seen``, ``is_dose_extrapolated`` and
        ``feature_distance``.
    condition
        Condition of each entry, shape ``(n_entries,)``.
    names
        Perturbation of each entry.
    log10_dose
        Dose of each entry, log10; infinity is saturation.
    row_shift
        Mean shifts of each entry, shape ``(n_entries, n_curves * n_nodes)``.
    row_log10_ec50
        Mean log10 EC50 of each entry.
    row_shift_variance
        Posterior variance of the shifts of seen perturbations, shape ``(n_entries,)``.
    row_log10_ec50_variance
        Posterior variance of their log10 EC50.
    is_seen
        Whether each entry was in training.
    n_summands
        Of how many known mechanisms each entry is seen as a sum.
    table
        The intervention table, which knows the shape of the dose response.
    hill
        Slope of the Hill curves.
    generator
        Draws the errors of unseen perturbations; ``None`` if there are none.
    """

    obs: pd.DataFrame
    condition: np.ndarray
    names: list[str]
    log10_dose: np.ndarray
    row_shift: np.ndarray
    row_log10_ec50: np.ndarray
    row_shift_variance: np.ndarray
    row_log10_ec50_variance: np.ndarray
    is_seen: np.ndarray
    n_summands: np.ndarray
    table: InterventionTable
    hill: float
    generator: InterventionGenerator | None

    @property
    def condition_n_summands(self) -> np.ndarray:
        """Mechanisms summed in the most uncertain entry of each condition."""
        total = np.ones(len(self.obs), int)
        np.maximum.at(total, self.condition, self.n_summands)
        return total

    def at_saturation(self) -> Conditions:
        """Raise all doses beyond all EC50."""
        return replace(self, log10_dose=np.full(len(self.log10_dose), np.inf))

    def shift(self) -> np.ndarray:
        """Mean shift of the mechanisms, shape ``(n_conditions, n_nodes)``, in noise sd."""
        return self._add_up(
            respond(self.table, self.hill, self.row_shift, self.row_log10_ec50, self.log10_dose)
        )

    @property
    def is_uncertain(self) -> np.ndarray:
        """Whether a condition has a perturbation that only its features tell about."""
        uncertain = np.zeros(len(self.obs), bool)
        if self.generator is not None and self.generator.is_informative:
            np.logical_or.at(uncertain, self.condition, ~self.is_seen)
        return uncertain

    def draw_shifts(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draws from the distribution over interventions, ``(n_draws, n_conditions, n_nodes)``.

        Their mean is :meth:`shift`: few draws would else move it by chance.
        """
        shift, log10_ec50 = self._draw_rows(n_draws, rng)
        drawn = self._add_up(respond(self.table, self.hill, shift, log10_ec50, self.log10_dose))
        return drawn - drawn.mean(0) + self.shift()

    def log10_ec50(self, n_draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Mean and draws of log10 EC50 of each entry, ``(n_entries,)``, ``(n_draws, n_entries)``."""
        return self.row_log10_ec50, self._draw_rows(n_draws, rng)[1]

    def _draw_rows(self, n_draws: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Rows with posterior noise where seen, and left-out residuals where not."""
        shift = rng.standard_normal((n_draws, *self.row_shift.shape))
        shift *= np.sqrt(self.row_shift_variance)[:, None]
        log10_ec50 = rng.standard_normal((n_draws, len(self.names)))
        log10_ec50 *= np.sqrt(self.row_log10_ec50_variance)
        unseen = ~self.is_seen
        if self.generator is not None and unseen.any():
            drawn = self.generator.draw_residuals(self.n_summands[unseen], n_draws, rng)
            shift[:, unseen], log10_ec50[:, unseen] = drawn
        return self.row_shift + shift, self.row_log10_ec50 + log10_ec50

    def _add_up(self, shift: np.ndarray) -> np.ndarray:
        member = np.zeros((len(self.obs), len(self.condition)))
        member[self.condition, np.arange(len(self.condition))] = 1
        return member @ shift


def prepare_conditions(
    model: ModelParts, conditions: ConditionsLike, features: pd.DataFrame | None
) -> Conditions:
    """Check conditions and look up, or generate, their interventions.

    Parameters
    ----------
    model
        Trained model.
    conditions
        What the user asks for.
    features
        Features of perturbations that are not in the registered table.

    Returns
    -------
    The conditions.
    """
    screen, fit = model.screen, model.interventions
    known = _known_perturbations(model, features)
    obs = check_conditions(conditions, screen, sorted(known), model.require_generator)
    labels = obs[screen.perturbation_key]
    parts = [(label,) if label in known else screen.table.parts_of(label) for label in labels]
    parts = [tuple(p for p in combination if p != screen.table.control) for combination in parts]
    condition = np.repeat(np.arange(len(obs)), [len(combination) for combination in parts])
    names = [name for combination in parts for name in combination]
    dose = obs[screen.dose_key].to_numpy(np.float64) if screen.dose_key else None
    rows = _Rows.look_up(model, names, features)
    obs["is_seen"] = [all(map(screen.is_seen, combination)) for combination in parts]
    obs["is_dose_extrapolated"] = _is_extrapolated(model, names, condition, dose, len(obs))
    distance = np.zeros(len(obs))
    np.maximum.at(distance, condition, rows.distance)
    obs["feature_distance"] = distance
    with np.errstate(divide="ignore"):
        log10_dose = np.full(len(names), np.inf) if dose is None else np.log10(dose)[condition]
    return Conditions(
        obs=obs,
        condition=condition,
        names=names,
        log10_dose=log10_dose,
        row_shift=rows.shift,
        row_log10_ec50=rows.log10_ec50,
        row_shift_variance=rows.shift_variance,
        row_log10_ec50_variance=rows.log10_ec50_variance,
        is_seen=rows.is_seen,
        n_summands=rows.n_summands,
        table=model.module.interventions,
        hill=fit.hill,
        generator=fit.generator,
    )


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


@dataclass(frozen=True)
class _Rows:
    """Rows of named perturbations, from the table or from the generator."""

    shift: np.ndarray
    log10_ec50: np.ndarray
    shift_variance: np.ndarray
    log10_ec50_variance: np.ndarray
    is_seen: np.ndarray
    n_summands: np.ndarray
    distance: np.ndarray

    @classmethod
    def look_up(cls, model: ModelParts, names: list[str], features: pd.DataFrame | None) -> _Rows:
        seen_names = model.screen.table.perturbations
        unseen_names = sorted(set(names) - set(seen_names))
        place = {name: i for i, name in enumerate([*seen_names, *unseen_names])}
        index = np.array([place[name] for name in names], dtype=int)
        fit, table = model.interventions, model.module.interventions
        all_rows = cls._of_seen(fit, table)
        if unseen_names:
            new = check_new_features(features, model.screen.table.features, unseen_names)
            generator = model.require_generator()
            warn_if_features_say_nothing(
                unseen_names, generator.p_value, is_informative=generator.is_informative
            )
            all_rows = all_rows.append(cls._of_unseen(generator, new))
        return cls(**{name: values[index] for name, values in vars(all_rows).items()})

    @classmethod
    def _of_seen(cls, fit: InterventionFit, table: InterventionTable) -> _Rows:
        n = len(table.shift)
        return cls(
            shift=table.shift.detach().double().cpu().numpy().reshape(n, -1),
            log10_ec50=table.log10_ec50.detach().double().cpu().numpy(),
            shift_variance=fit.rows.shift_variance,
            log10_ec50_variance=fit.rows.log10_ec50_variance,
            is_seen=np.ones(n, bool),
            n_summands=np.ones(n, int),
            distance=np.zeros(n),
        )

    @classmethod
    def _of_unseen(cls, generator: InterventionGenerator, features: np.ndarray) -> _Rows:
        generated = generator.predict(features)
        n = len(features)
        return cls(
            shift=generated.shift,
            log10_ec50=generated.log10_ec50,
            shift_variance=np.zeros(n),
            log10_ec50_variance=np.zeros(n),
            is_seen=np.zeros(n, bool),
            n_summands=generated.n_summands,
            distance=generated.distance,
        )

    def append(self, other: _Rows) -> _Rows:
        mine, theirs = vars(self), vars(other)
        return _Rows(**{name: np.concatenate([mine[name], theirs[name]]) for name in mine})


def _known_perturbations(model: ModelParts, features: pd.DataFrame | None) -> set[str]:
    table = model.screen.table
    known = set(table.perturbations) | {table.control}
    if table.features is not None:
        known |= set(table.features.index)
    return known if features is None else known | set(map(str, features.index))


def _is_extrapolated(
    model: ModelParts,
    names: list[str],
    condition: np.ndarray,
    dose: np.ndarray | None,
    n_conditions: int,
) -> np.ndarray:
    """Whether a dose lies outside what was run of a perturbation in the condition."""
    is_outside = np.zeros(n_conditions, bool)
    if dose is None or not names:
        return is_outside
    ranges = {name: model.screen.dose_range(name) for name in set(names)}
    low, high = np.array([ranges[name] for name in names]).T
    of_entry = dose[condition]
    outside = (of_entry > 0) & ((of_entry < low) | (of_entry > high))
    np.logical_or.at(is_outside, condition, outside)
    return is_outside

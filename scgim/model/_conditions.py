from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import pandas as pd
import torch

from scgim._validation import check_conditions
from scgim.model._applicability import add_applicability, feature_similarity
from scgim.scm import Intervention

if TYPE_CHECKING:
    from scgim.model._parts import ModelParts

ConditionsLike: TypeAlias = pd.DataFrame | Iterable[tuple[str, float]] | Iterable[str]


class PerturbationRows(Protocol):
    """What a causal space thinks that some perturbations do, one entry for each."""

    @property
    def is_seen(self) -> np.ndarray:
        """Whether each was in training, shape ``(n_entries,)``."""

    @property
    def is_uncertain(self) -> np.ndarray:
        """Whether only features tell about it, and they tell something."""

    @property
    def is_unknown(self) -> np.ndarray:
        """Whether each is unlike all known mechanisms, so that it may do anything."""

    @property
    def n_summands(self) -> np.ndarray:
        """Of how many known mechanisms each is seen as a sum."""

    @property
    def distance(self) -> np.ndarray:
        """Distance to the nearest seen perturbation by features; above 1 is far."""

    @property
    def log10_ec50(self) -> np.ndarray:
        """Dose of half the effect, log10."""

    @property
    def hill(self) -> np.ndarray:
        """Slope of the Hill curve; NaN where the dose response has none."""

    def at(self, log10_dose: np.ndarray) -> Intervention:
        """Mean intervention at doses; each tensor has shape ``(n_entries, n_nodes)``."""

    def draw(self, log10_dose: np.ndarray, n_draws: int, rng: np.random.Generator) -> Intervention:
        """Draw from the distribution over interventions, ``(n_draws, n_entries, n_nodes)``."""

    def draw_log10_ec50(self, n_draws: int, rng: np.random.Generator) -> np.ndarray:
        """Draw log10 EC50, shape ``(n_draws, n_entries)``."""


@dataclass(frozen=True)
class Conditions:
    """Conditions with the interventions that the model thinks they are.

    A condition has one entry for each perturbation in it, and none for the control.

    Attributes
    ----------
    obs
        One row per condition: the user's columns, ``is_seen``, ``is_dose_extrapolated``,
        ``feature_distance``, ``feature_similarity`` and ``nearest_perturbation``.
    condition
        Condition of each entry, shape ``(n_entries,)``.
    names
        Perturbation of each entry.
    log10_dose
        Dose of each entry, log10; infinity is saturation.
    rows
        What each entry's perturbation does.
    """

    obs: pd.DataFrame
    condition: np.ndarray
    names: list[str]
    log10_dose: np.ndarray
    rows: PerturbationRows

    @property
    def condition_n_summands(self) -> np.ndarray:
        """Mechanisms summed in the most uncertain entry of each condition."""
        total = np.ones(len(self.obs), int)
        np.maximum.at(total, self.condition, self.rows.n_summands)
        return total

    def at_saturation(self) -> Conditions:
        """Raise all doses beyond all EC50."""
        return replace(self, log10_dose=np.full(len(self.log10_dose), np.inf))

    def intervention(self) -> Intervention:
        """Mean intervention of each condition; tensors of shape ``(n_conditions, n_nodes)``."""
        return self._join(self.rows.at(self.log10_dose))

    def draw(self, n_draws: int, rng: np.random.Generator) -> Intervention:
        """Draw from the distribution over interventions, ``(n_draws, n_conditions, n_nodes)``."""
        return self._join(self.rows.draw(self.log10_dose, n_draws, rng))

    @property
    def is_uncertain(self) -> np.ndarray:
        """Whether a condition has a perturbation that only its features tell about."""
        return self._has_any(self.rows.is_uncertain)

    @property
    def is_unknown(self) -> np.ndarray:
        """Whether a condition has a perturbation that is unlike all known mechanisms."""
        return self._has_any(self.rows.is_unknown)

    def of_cells(self, n_cells: int, rng: np.random.Generator | None) -> Intervention:
        """Intervention of each cell, drawn where it is uncertain unless ``rng`` is ``None``.

        Tensors have the shape ``(n_conditions, n_cells, n_nodes)``.
        """
        mean = self.intervention().map(lambda values: values[:, None].expand(-1, n_cells, -1))
        if rng is None or not self.is_uncertain.any():
            return mean
        drawn = self.draw(n_cells, rng).map(lambda values: values.swapaxes(0, 1))
        uncertain = torch.as_tensor(self.is_uncertain)[:, None, None]
        return Intervention(
            shift=torch.where(uncertain, drawn.shift, mean.shift),
            noise_scale=torch.where(uncertain, drawn.noise_scale, mean.noise_scale),
            is_cut=torch.where(uncertain, drawn.is_cut, mean.is_cut),
        )

    def _has_any(self, is_entry: np.ndarray) -> np.ndarray:
        has_any = np.zeros(len(self.obs), bool)
        np.logical_or.at(has_any, self.condition, is_entry)
        return has_any

    def _join(self, entries: Intervention) -> Intervention:
        """Join the entries of each condition; that of the control is empty."""
        shape = (*entries.shift.shape[:-2], len(self.obs), entries.shift.shape[-1])
        index = torch.as_tensor(self.condition)

        def multiply(values: torch.Tensor) -> torch.Tensor:
            place = index[:, None].expand(values.shape)
            return torch.ones(shape, dtype=values.dtype).scatter_reduce(-2, place, values, "prod")

        shift = torch.zeros(shape, dtype=entries.shift.dtype)
        return Intervention(
            shift=shift.index_add(-2, index, entries.shift),
            noise_scale=multiply(entries.noise_scale),
            is_cut=1 - multiply(1 - entries.is_cut),
        )


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
    screen = model.screen
    known = _known_perturbations(model, features)
    obs = check_conditions(conditions, screen, sorted(known), model.space.require_generator)
    labels = obs[screen.perturbation_key]
    parts = [(label,) if label in known else screen.table.parts_of(label) for label in labels]
    parts = [tuple(p for p in combination if p != screen.table.control) for combination in parts]
    condition = np.repeat(np.arange(len(obs)), [len(combination) for combination in parts])
    names = [name for combination in parts for name in combination]
    dose = obs[screen.dose_key].to_numpy(np.float64) if screen.dose_key else None
    rows = model.space.rows(names, features)
    obs["is_seen"] = [all(map(screen.is_seen, combination)) for combination in parts]
    obs["is_dose_extrapolated"] = _is_extrapolated(model, names, condition, dose, len(obs))
    distance = np.zeros(len(obs))
    np.maximum.at(distance, condition, rows.distance)
    obs["feature_distance"] = distance
    add_applicability(obs, feature_similarity(screen, names, features), parts)
    with np.errstate(divide="ignore"):
        log10_dose = np.full(len(names), np.inf) if dose is None else np.log10(dose)[condition]
    return Conditions(
        obs=obs,
        condition=condition,
        names=names,
        log10_dose=log10_dose,
        rows=rows,
    )


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

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS

from scgim._constants import REGISTRY_KEYS
from scgim.scm import CountScreen, NamedNodeScreen
from scgim.scm.structure._target_evidence import median_deviation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from scgim.data import Screen
    from scgim.module import NamedNodeModule

MIN_SD = 1e-6


@dataclass(frozen=True)
class GenesData:
    """Cells of a screen whose genes are the nodes.

    Attributes
    ----------
    values
        Node values: expression without what covariates explain in control cells, standardised by
        the control cells, shape ``(n_cells, n_nodes)``.
    counts
        Counts, same shape; expression for the normal likelihood.
    library
        Total counts or size factor of each cell, shape ``(n_cells,)``.
    covariates
        Encoded covariates, shape ``(n_cells, n_covariates)``.
    condition
        Condition of each cell.
    group
        Group of each condition, -1 for control, shape ``(n_conditions,)``. Cells of a group are
        under the same perturbation, or the same combination of perturbations.
    log10_dose
        Dose of each condition, log10; infinity without doses.
    groups
        Perturbations in each group, those that were run alone first.
    center, scale
        Mean and deviation of each gene in control cells, shape ``(n_nodes,)``; without replicates
        the robust deviation over all profiles.
    covariate_effects
        Shape ``(n_covariates, n_nodes)``.
    """

    values: np.ndarray
    counts: np.ndarray
    library: np.ndarray
    covariates: np.ndarray
    condition: np.ndarray
    group: np.ndarray
    log10_dose: np.ndarray
    groups: list[tuple[str, ...]]
    center: np.ndarray
    scale: np.ndarray
    covariate_effects: np.ndarray

    @property
    def has_replicates(self) -> bool:
        """Whether any condition has more than one row; without, rows are profiles of conditions."""
        return len(self.condition) > len(self.group)

    @property
    def within(self) -> np.ndarray:
        """Node values less the mean of their condition, shape ``(n_cells, n_nodes)``.

        Without replicates, less the mean of all profiles: nothing else says how nodes vary together.
        """
        if not self.has_replicates:
            return np.asarray(self.values - self.values.mean(axis=0))
        means = self.screen().condition_means(self.values)
        centred: np.ndarray = self.values - means[self.condition]
        return centred

    @property
    def is_control(self) -> np.ndarray:
        """Whether each cell is unperturbed."""
        return self.group[self.condition] < 0

    @property
    def n_single(self) -> int:
        """Groups of one perturbation alone."""
        return sum(len(parts) == 1 for parts in self.groups)

    def screen(self, features: np.ndarray | None = None) -> NamedNodeScreen:
        """Give all cells to the causal model.

        Parameters
        ----------
        features
            Features of the groups.

        Returns
        -------
        The screen.
        """
        return NamedNodeScreen(self.values, self.condition, self.group, self.log10_dose, features)

    def single_screen(self, features: np.ndarray | None) -> NamedNodeScreen:
        """Give the control cells and those of perturbations that were run alone.

        Parameters
        ----------
        features
            Features of the groups of one perturbation.

        Returns
        -------
        The screen.
        """
        kept = np.flatnonzero(self.group < self.n_single)
        place = np.full(len(self.group), -1)
        place[kept] = np.arange(len(kept))
        is_kept = place[self.condition] >= 0
        return NamedNodeScreen(
            self.values[is_kept],
            place[self.condition[is_kept]],
            self.group[kept],
            self.log10_dose[kept],
            features,
        )

    def count_screen(self, median_library: float) -> CountScreen:
        """Give the counts to the estimates that are free of counting noise.

        Parameters
        ----------
        median_library
            Total count at which the size factor is 1.

        Returns
        -------
        The screen.
        """
        return CountScreen(
            np.rint(self.counts).astype(np.int64),
            self.library / median_library,
            self.group[self.condition],
            self.covariates,
        )

    @classmethod
    def collect(
        cls, module: NamedNodeModule, screen: Screen, batches: Iterable[dict[str, Tensor]]
    ) -> GenesData:
        """Go once over the cells.

        Parameters
        ----------
        module
            The module, which knows how covariates are encoded.
        screen
            What the registry knows of the screen.
        batches
            Minibatches of all cells.

        Returns
        -------
        The data.
        """
        parts = [_read(module, tensors) for tensors in batches]
        counts, library, covariates, label, dose = (
            np.concatenate(column) for column in zip(*parts, strict=True)
        )
        groups, group_of_label = _group_labels(screen)
        group = group_of_label[label.astype(int)]
        # All control cells are one condition, whatever their label and dose say.
        dose = np.where(group < 0, 0.0, dose)
        condition, keys = pd.factorize(pd.MultiIndex.from_arrays([group, dose]))
        expression = counts
        if module.likelihood.is_count:
            typical = float(np.median(library[group < 0]))
            expression = np.log1p(counts * (typical / library[:, None]))
        effects = _covariate_effects(expression, covariates, group < 0)
        free = expression - covariates @ effects
        center = free[group < 0].mean(axis=0)
        has_replicates = len(condition) > len(keys)
        spread = free[group < 0].std(axis=0) if has_replicates else median_deviation(free)
        scale = np.maximum(spread, MIN_SD)
        group_of_condition = keys.get_level_values(0).to_numpy(np.int64)
        with np.errstate(divide="ignore"):
            log10_dose = np.log10(keys.get_level_values(1).to_numpy(np.float64))
        is_dosed = (group_of_condition >= 0) & (screen.dose_key is not None)
        return cls(
            values=(free - center) / scale,
            counts=counts,
            library=library,
            covariates=covariates,
            condition=condition,
            group=group_of_condition,
            log10_dose=np.where(is_dosed, log10_dose, np.where(group_of_condition < 0, 0, np.inf)),
            groups=groups,
            center=center,
            scale=scale,
            covariate_effects=effects,
        )


def _read(module: NamedNodeModule, tensors: dict[str, Tensor]) -> tuple[np.ndarray, ...]:
    x = tensors[SCVI_KEYS.X_KEY]
    covariates = module.cpu_covariates(tensors)
    library = module.library(x, tensors.get(SCVI_KEYS.SIZE_FACTOR_KEY))
    label = tensors[REGISTRY_KEYS.PERTURBATION].ravel()
    dose = tensors.get(REGISTRY_KEYS.DOSE, torch.zeros_like(label)).ravel()
    return tuple(part.double().numpy() for part in (x, library[:, 0], covariates, label, dose))


def _group_labels(screen: Screen) -> tuple[list[tuple[str, ...]], np.ndarray]:
    """List groups of perturbations, single ones first, and the group of each label."""
    table = screen.table
    of_label = [
        tuple(table.perturbations[part] for part in parts[parts >= 0]) for parts in table.components
    ]
    groups = sorted(set(of_label) - {()}, key=lambda parts: (len(parts), parts))
    place = {parts: row for row, parts in enumerate(groups)} | {(): -1}
    return groups, np.array([place[parts] for parts in of_label])


def _covariate_effects(
    expression: np.ndarray, covariates: np.ndarray, is_control: np.ndarray
) -> np.ndarray:
    """Regress expression on covariates in control cells; the smallest effects that explain it."""
    if not covariates.shape[1]:
        return np.zeros((0, expression.shape[1]))
    centred = covariates[is_control] - covariates[is_control].mean(axis=0)
    control = expression[is_control] - expression[is_control].mean(axis=0)
    return np.linalg.lstsq(centred, control, rcond=None)[0]

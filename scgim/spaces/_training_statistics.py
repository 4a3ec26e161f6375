from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS
from torch import Tensor

from scgim._constants import REGISTRY_KEYS
from scgim.scm import ConditionStatistics
from scgim.spaces._condition_means import (
    ConditionMeans,
    add_up,
    condition_keys,
    read_keys,
    to_log10,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scgim.data import Screen
    from scgim.module import CausalModule

MAX_CONTROL_CELLS = 4000
TARGET_TOTAL = 1e4


@dataclass(frozen=True)
class TrainingStatistics:
    """What the model remembers of its training cells: sums over conditions, no expression.

    Enough to re-estimate interventions, to calibrate intervals and to predict populations after
    loading without AnnData.

    Attributes
    ----------
    label
        Perturbation code of each condition, shape ``(n_conditions,)``.
    dose
        Dose of each condition, same shape; NaN without doses.
    n_cells
        Cells of each condition, same shape.
    residual
        Mean posterior residual of the mechanisms, shape ``(n_conditions, n_nodes)``.
    expression_mean
        Mean log1p(CP10k) (mean expression for the normal likelihood), ``(n_conditions, n_genes)``.
    expression_variance
        Variance of the same over cells, same shape.
    control_library
        Total counts of control cells, shape ``(n_control_cells,)``.
    control_batch
        Batch codes of these cells, same shape.
    control_categories
        Codes of their categorical covariates, shape ``(n_control_cells, n_categorical)``.
    control_continuous
        Their continuous covariates, shape ``(n_control_cells, n_continuous)``.
    contexts
        What was run where: codes of label, batch and categorical covariates, each combination once,
        shape ``(n_combinations, 2 + n_categorical)``.
    trained_log10_ec50
        Where training left log10 EC50, shape ``(n_perturbations,)``.
    trained_hill
        Median slope that training found.
    by_context
        Mean expression of the same conditions in each context; ``None`` in models saved before
        scgim 0.2.
    """

    label: np.ndarray
    dose: np.ndarray
    n_cells: np.ndarray
    residual: np.ndarray
    expression_mean: np.ndarray
    expression_variance: np.ndarray
    control_library: np.ndarray
    control_batch: np.ndarray
    control_categories: np.ndarray
    control_continuous: np.ndarray
    contexts: np.ndarray
    trained_log10_ec50: np.ndarray
    trained_hill: float
    by_context: ConditionMeans | None = None

    @classmethod
    @torch.inference_mode()
    def collect(
        cls, module: CausalModule, batches: Iterable[dict[str, Tensor]]
    ) -> TrainingStatistics:
        """Go once over the cells.

        Parameters
        ----------
        module
            Trained module.
        batches
            Minibatches of all cells.

        Returns
        -------
        The statistics.
        """
        sums = _ConditionSums()
        controls = _ControlCells(module.components.cpu())
        contexts = []
        for tensors in batches:
            on_device = {key: value.to(module.device) for key, value in tensors.items()}
            sums.add(tensors, *_summarise(module, on_device))
            controls.add(tensors, module)
            contexts.append(np.unique(_codes_of(tensors), axis=0))
        log10_ec50, hill = module.trained_dose_response()
        arrays: dict[str, Any] = sums.finish() | controls.finish()
        return cls(
            **arrays,
            contexts=np.unique(np.concatenate(contexts), axis=0),
            trained_log10_ec50=log10_ec50.double().cpu().numpy(),
            trained_hill=hill,
        )

    @classmethod
    def from_dict(cls, state: dict) -> TrainingStatistics:
        """Rebuild what :meth:`to_dict` held."""
        by_context = state.get("by_context")
        means = None if by_context is None else ConditionMeans.from_dict(by_context)
        return cls(**state | {"by_context": means})

    def add(self, other: TrainingStatistics) -> TrainingStatistics:
        """Pool with the statistics of other cells, encoded on the same nodes.

        Parameters
        ----------
        other
            Statistics with the same codes of labels, batches and categories.

        Returns
        -------
        Statistics of all cells, with the trained EC50 and slope of this one.
        """
        n_cells = np.concatenate([self.n_cells, other.n_cells])
        label, dose = (
            np.concatenate([getattr(self, name), getattr(other, name)])
            for name in ("label", "dose")
        )
        codes, keys = pd.factorize(pd.MultiIndex.from_arrays([label, dose]))

        def pool(left: np.ndarray, right: np.ndarray) -> np.ndarray:
            totals = np.zeros((len(keys), left.shape[1]))
            np.add.at(totals, codes, np.concatenate([left, right]) * n_cells[:, None])
            return totals / np.bincount(codes, n_cells)[:, None]

        mean = pool(self.expression_mean, other.expression_mean)
        square = pool(
            self.expression_variance + self.expression_mean**2,
            other.expression_variance + other.expression_mean**2,
        )
        control: dict[str, Any] = {
            field.name: np.concatenate([getattr(self, field.name), getattr(other, field.name)])
            for field in fields(self)
            if field.name.startswith("control_")
        }
        by_context = None
        if self.by_context is not None and other.by_context is not None:
            by_context = self.by_context.add(other.by_context)
        return replace(
            self,
            label=keys.get_level_values(0).to_numpy(np.int64),
            dose=keys.get_level_values(1).to_numpy(np.float64),
            n_cells=np.bincount(codes, n_cells),
            residual=pool(self.residual, other.residual),
            expression_mean=mean.astype(np.float32),
            expression_variance=np.maximum(square - mean**2, 0).astype(np.float32),
            contexts=np.unique(np.concatenate([self.contexts, other.contexts]), axis=0),
            by_context=by_context,
            **control,
        )

    def to_dict(self) -> dict[str, Any]:
        """Hold the statistics as plain arrays, to be saved with the model."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        by_context = None if self.by_context is None else self.by_context.to_dict()
        return state | {"by_context": by_context}

    def is_control(self, screen: Screen) -> np.ndarray:
        """Whether each condition is the control, shape ``(n_conditions,)``."""
        return (screen.table.components[self.label] < 0).all(1)

    def single_rows(self, screen: Screen) -> np.ndarray:
        """Rows of the conditions with exactly one perturbation."""
        return np.flatnonzero((screen.table.components[self.label] >= 0).sum(1) == 1)

    def single_perturbations(self, screen: Screen) -> ConditionStatistics:
        """Keep the conditions with exactly one perturbation, relative to the control.

        Parameters
        ----------
        screen
            What the registry knows of the screen.

        Returns
        -------
        Their statistics; of perturbations that were run in combinations only, there are none.
        """
        components = screen.table.components[self.label]
        chosen = self.single_rows(screen)
        control = np.average(
            self.residual[self.is_control(screen)],
            axis=0,
            weights=self.n_cells[self.is_control(screen)],
        )
        return ConditionStatistics(
            perturbation=components[chosen].max(1),
            log10_dose=to_log10(self.dose[chosen]),
            n_cells=self.n_cells[chosen].astype(np.float64),
            residual=self.residual[chosen] - control,
        )


class _ConditionSums:
    """Sums per condition over minibatches."""

    def __init__(self) -> None:
        self._parts: list[tuple[pd.MultiIndex, np.ndarray, np.ndarray]] = []

    def add(self, tensors: dict[str, Tensor], residual: Tensor, expression: Tensor) -> None:
        label, context = np.split(_codes_of(tensors), [1], axis=1)
        dose = tensors.get(REGISTRY_KEYS.DOSE)
        values = np.full(len(label), np.nan) if dose is None else dose.ravel().double().numpy()
        codes, keys = pd.factorize(condition_keys(label[:, 0], values, context))
        cells = torch.cat(
            [residual, expression, expression.square(), torch.ones_like(residual[:, :1])], 1
        ).double()
        totals = torch.zeros(len(keys), cells.shape[1], dtype=torch.float64)
        totals.index_add_(0, torch.as_tensor(codes), cells.cpu())
        self._parts.append((keys, totals.numpy(), np.array([residual.shape[1]])))

    def finish(self) -> dict[str, Any]:
        keys = self._parts[0][0]
        for other, _, _ in self._parts[1:]:
            keys = keys.append(other)
        parts = np.concatenate([totals for _, totals, _ in self._parts])
        in_context, totals_in_context = add_up(keys, parts)
        unique, totals = add_up(
            in_context.droplevel(list(range(2, keys.nlevels))), totals_in_context
        )
        n_cells = totals[:, -1]
        means = totals[:, :-1] / n_cells[:, None]
        n_nodes = int(self._parts[0][2][0])
        expression, squares = np.split(means[:, n_nodes:], 2, axis=1)
        n_genes = expression.shape[1]
        n_in_context = totals_in_context[:, -1]
        sums_in_context = totals_in_context[:, n_nodes : n_nodes + n_genes]
        return {
            "label": unique.get_level_values(0).to_numpy(np.int64),
            "dose": unique.get_level_values(1).to_numpy(np.float64),
            "n_cells": n_cells,
            "residual": means[:, :n_nodes],
            "expression_mean": expression.astype(np.float32),
            "expression_variance": np.maximum(squares - expression**2, 0).astype(np.float32),
            "by_context": ConditionMeans(
                **read_keys(in_context),
                n_cells=n_in_context,
                expression=(sums_in_context / n_in_context[:, None]).astype(np.float32),
            ),
        }


class _ControlCells:
    """Library size and covariates of control cells."""

    def __init__(self, components: Tensor) -> None:
        self._components = components
        self._parts: list[tuple[Tensor, ...]] = []

    def add(self, tensors: dict[str, Tensor], module: CausalModule) -> None:
        labels = tensors[REGISTRY_KEYS.PERTURBATION].ravel().long()
        chosen = (self._components[labels] < 0).all(1)
        batch = tensors[SCVI_KEYS.BATCH_KEY]
        library = module.library(tensors[SCVI_KEYS.X_KEY], tensors.get(SCVI_KEYS.SIZE_FACTOR_KEY))
        categories = tensors.get(SCVI_KEYS.CAT_COVS_KEY, batch[:, :0])
        continuous = tensors.get(SCVI_KEYS.CONT_COVS_KEY, library[:, :0])
        self._parts.append(tuple(t[chosen] for t in (library, batch, categories, continuous)))

    def finish(self) -> dict[str, np.ndarray]:
        library, batch, categories, continuous = (
            torch.cat(column) for column in zip(*self._parts, strict=True)
        )
        rng = np.random.default_rng(0)
        chosen = np.sort(rng.permutation(len(library))[:MAX_CONTROL_CELLS])
        return {
            "control_library": library[chosen, 0].double().numpy(),
            "control_batch": batch[chosen, 0].long().numpy(),
            "control_categories": categories[chosen].long().numpy(),
            "control_continuous": continuous[chosen].float().numpy(),
        }


def _codes_of(tensors: dict[str, Tensor]) -> np.ndarray:
    """Codes of label, batch and categorical covariates of the cells, one column each."""
    batch = tensors[SCVI_KEYS.BATCH_KEY]
    codes = [
        tensors[REGISTRY_KEYS.PERTURBATION],
        batch,
        tensors.get(SCVI_KEYS.CAT_COVS_KEY, batch[:, :0]),
    ]
    return torch.cat([code.long() for code in codes], dim=1).cpu().numpy()


def _summarise(module: CausalModule, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Residual of the mechanisms and normalised expression of each cell."""
    mean = module.encode(tensors)[0]
    covariates = module.covariates_of(tensors)
    residual = module.mechanism.residual(mean) - module.node_offset(covariates)
    expression = tensors[SCVI_KEYS.X_KEY]
    if module.likelihood.is_count:
        library = module.library(expression, tensors.get(SCVI_KEYS.SIZE_FACTOR_KEY))
        expression = torch.log1p(expression * (TARGET_TOTAL / library))
    return residual, expression

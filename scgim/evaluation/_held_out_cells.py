"""The truth of an evaluation: held-out cells of a screen and the control cells they are compared with."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from scgim._messages import quote_some
from scgim.evaluation._expression_space import read_expression
from scgim.evaluation._training_screen import group_means
from scgim.metrics import ChangedGenes, Moments, effect_weights, find_changed_genes

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata as ad
    import pandas as pd
    from numpy.typing import NDArray

    from scgim.evaluation._training_screen import ScreenKeys, TrainingScreen


MIN_CONTROL_CELLS = 4


def divide_controls(adata: ad.AnnData, keys: ScreenKeys, seed: int) -> NDArray[np.bool_]:
    """Put aside half of the control cells of each context for the truth.

    The mean of a few control cells is noisy. Where predictions and truth are taken from the same ones,
    this noise is in both and looks like a right prediction.

    Parameters
    ----------
    adata
        The screen.
    keys
        Where its design is.
    seed
        Seed of the choice.

    Returns
    -------
    Which cells are control cells of the truth, shape ``(n_cells,)``.
    """
    design = keys.plain(adata.obs)
    is_control = (design["perturbation"] == keys.control).to_numpy()
    is_reference = np.zeros(adata.n_obs, dtype=bool)
    rng = np.random.default_rng(seed)
    for context in sorted(design["context"].unique()):
        cells = np.flatnonzero(is_control & (design["context"] == context).to_numpy())
        check_disjoint_controls(context, len(cells))
        is_reference[rng.permutation(cells)[: len(cells) // 2]] = True
    return is_reference


@dataclass(frozen=True)
class HeldOutCells:
    """Held-out conditions with their cells, sorted by condition, and control cells of their own.

    Attributes
    ----------
    conditions
        One row per held-out condition, columns named as in ``obs``.
    plain
        The same in scgim's words: ``perturbation``, ``dose`` and ``context``.
    cells
        Held-out cells with ``obs`` as they were.
    expression
        Their expression as it is scored, shape ``(n_cells, n_genes)``.
    starts
        First cell of each condition and the number of all cells, shape ``(n_conditions + 1,)``.
    control
        Moments of the control cells of each condition, which no predictor has seen.
    control_cells
        Expression of the control cells of each context.
    """

    conditions: pd.DataFrame
    plain: pd.DataFrame
    cells: ad.AnnData
    expression: NDArray[np.float32]
    starts: NDArray[np.int64]
    control: Moments
    control_cells: dict[str, NDArray[np.float32]] = field(repr=False)

    @classmethod
    def of(cls, cells: ad.AnnData, controls: ad.AnnData, screen: TrainingScreen) -> HeldOutCells:
        """Arrange held-out cells by condition.

        Parameters
        ----------
        cells
            Held-out cells.
        controls
            Control cells of the truth, from :func:`divide_controls`.
        screen
            The training cells, whose keys and space are used.

        Returns
        -------
        The truth.
        """
        keys = screen.keys
        design = keys.plain(cells.obs)
        grouped = design.groupby(["perturbation", "dose", "context"], sort=True)
        plain = grouped.size().rename("n_cells").reset_index()
        code = grouped.ngroup().to_numpy()
        order = np.argsort(code, kind="stable")
        starts = np.r_[0, np.cumsum(plain.pop("n_cells"))]
        control_design = keys.plain(controls.obs)["context"].to_numpy()
        control_expression = read_expression(controls, keys.layer, screen.space)
        control_cells = {
            context: control_expression[control_design == context]
            for context in np.unique(control_design)
        }
        check_held_out_cells([] if len(plain) else ["all of them"])
        of_context = {context: moments_of([rows]) for context, rows in control_cells.items()}
        control = Moments(
            *(
                np.concatenate([getattr(of_context[context], part) for context in plain["context"]])
                for part in Moments._fields
            )
        )
        expression = read_expression(cells, keys.layer, screen.space)[order]
        return cls(
            keys.named(plain), plain, cells[order], expression, starts, control, control_cells
        )

    @property
    def n_conditions(self) -> int:
        """Number of held-out conditions."""
        return len(self.conditions)

    @property
    def labels(self) -> list[str]:
        """Name of each condition in words."""
        return describe_conditions(self.conditions)

    @cached_property
    def moments(self) -> Moments:
        """Mean, variance and number of the cells of each condition."""
        return moments_of([self.cells_of(index) for index in range(self.n_conditions)])

    def cells_of(self, index: int) -> NDArray[np.float32]:
        """Expression of the cells of a condition.

        Parameters
        ----------
        index
            Number of the condition.

        Returns
        -------
        Shape ``(n_cells_of_condition, n_genes)``.
        """
        return self.expression[self.starts[index] : self.starts[index + 1]]

    @cached_property
    def shift(self) -> NDArray[np.float64]:
        """True mean shift from the control cells of the truth, ``(n_conditions, n_genes)``."""
        return self.moments.mean - self.control.mean

    @cached_property
    def standard_error(self) -> NDArray[np.float64]:
        """Sampling error of :attr:`shift`, same shape; NaN for conditions of one cell."""
        return np.sqrt(
            self.moments.variance / self.moments.n_cells[:, None]
            + self.control.variance / self.control.n_cells[:, None]
        )

    @cached_property
    def changed(self) -> ChangedGenes:
        """Which genes changed, tested on the held-out cells and the control cells of the truth."""
        return find_changed_genes(self.moments, self.control)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """Weight of each gene in each condition, see :func:`~scgim.metrics.effect_weights`."""
        return effect_weights(self.changed.statistic)

    def halves(self, seed: int) -> tuple[HeldOutCells, HeldOutCells]:
        """Split the cells of each condition in two.

        Parameters
        ----------
        seed
            Seed of the division.

        Returns
        -------
        Two truths with the same control cells; conditions with fewer than two cells are in neither.
        """
        rng = np.random.default_rng(seed)
        chosen: tuple[list[NDArray[np.int64]], list[NDArray[np.int64]]] = ([], [])
        for start, stop in zip(self.starts[:-1], self.starts[1:], strict=True):
            cells = start + rng.permutation(stop - start)
            middle = len(cells) // 2
            chosen[0].append(np.sort(cells[:middle]))
            chosen[1].append(np.sort(cells[middle:]) if middle else cells[:0])
        return self._with_cells(chosen[0]), self._with_cells(chosen[1])

    def _with_cells(self, chosen: list[NDArray[np.int64]]) -> HeldOutCells:
        is_kept = np.array([len(cells) > 0 for cells in chosen])
        index = np.concatenate([cells for cells in chosen if len(cells)] or [np.array([], int)])
        return HeldOutCells(
            self.conditions[is_kept].reset_index(drop=True),
            self.plain[is_kept].reset_index(drop=True),
            self.cells[index],
            self.expression[index],
            np.r_[0, np.cumsum([len(cells) for cells in chosen if len(cells)])].astype(np.int64),
            Moments(*(part[is_kept] for part in self.control)),
            self.control_cells,
        )


def moments_of(groups: list[NDArray[np.float32]]) -> Moments:
    """Mean, variance and number of cells of groups.

    Parameters
    ----------
    groups
        Cells of each group, cells x genes, at least one each.

    Returns
    -------
    Moments of the groups; the variance of one cell is NaN.
    """
    n_cells = np.array([len(cells) for cells in groups])
    code = np.repeat(np.arange(len(groups)), n_cells)
    values = np.concatenate(groups)
    mean = group_means(values, code, len(groups))
    squared = group_means((values - mean[code].astype(np.float32)) ** 2, code, len(groups))
    with np.errstate(divide="ignore", invalid="ignore"):
        unbiased = np.where(n_cells > 1, n_cells / (n_cells - 1.0), np.nan)
    return Moments(mean, squared * unbiased[:, None], n_cells)


def describe_conditions(conditions: pd.DataFrame) -> list[str]:
    """Name conditions in words.

    Parameters
    ----------
    conditions
        One row per condition.

    Returns
    -------
    Values of each row, numbers in their shortest form, joined by commas.
    """
    rows = conditions.itertuples(index=False)
    return [
        ", ".join(f"{value:g}" if isinstance(value, float) else str(value) for value in row)
        for row in rows
    ]


def check_disjoint_controls(context: str, n_cells: int) -> None:
    """Raise where there are too few control cells for predictions and truth to have their own.

    Parameters
    ----------
    context
        Context of the control cells, empty without contexts.
    n_cells
        Control cells in it.
    """
    if n_cells < MIN_CONTROL_CELLS:
        place = f" in the context {context!r}" if context else ""
        msg = (
            f"`adata` has {n_cells} control cells{place}, but at least {MIN_CONTROL_CELLS} are needed: "
            "half of them for the predictors and the other half for the truth. With identical controls "
            "on both sides their shared noise counts as success. Add control cells."
        )
        raise ValueError(msg)


def check_held_out_cells(empty: Sequence[str]) -> None:
    """Raise if held-out conditions have no cells.

    Parameters
    ----------
    empty
        Held-out conditions without cells, in words.
    """
    if empty:
        msg = (
            f"{len(empty)} held-out conditions have no cells in `adata`: {quote_some(empty)}. Use the "
            "screen that the split was made for, or make a new split."
        )
        raise ValueError(msg)

"""What a look at a screen tells before any model: hidden groups, duplicates, doses, few cells."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim._messages import quote_some, warn
from scgim.data._doses import distinct_doses
from scgim.data._expression_blocks import CELLS_PER_BLOCK
from scgim.data._fields import count_conditions

if TYPE_CHECKING:
    from collections.abc import Sequence

    import scipy.sparse as sp
    from anndata import AnnData

N_CONTROL = 1_000
N_GENES = 300
N_COMPONENTS = 5
N_SHARPENINGS = 10
TOTAL = 1e4
# Ashman's D (Astronomical Journal 108:2348, 1994). The best division of one cell line had up to 3.9 in
# sci-Plex 2, Papalexi, Norman and Sachs, and up to 5.5 in simulations in which few genes dominate; where
# a column of `obs` agrees with the division, less is enough.
MIN_SEPARATION = 6.5
MIN_SEPARATION_NAMED = 4.0
MIN_SHARE = 0.05
MIN_CELLS = 50
FEW_CELLS = 10
N_NAMED = 5
N_DIGITS = 6
MIN_NUMBER, MAX_NUMBER = 1e-12, 1e12
MAX_DUPLICATED = 0.005
# Below, cells with few counts are the same by chance.
MIN_DETECTED = 20
MAX_CATEGORIES = 50
MIN_PURITY = 0.8


@dataclass(frozen=True)
class HiddenGroups:
    """Two groups of control cells that no declared column tells apart.

    Attributes
    ----------
    share
        Share of the smaller group.
    separation
        Distance of the groups over their spread (Ashman's D).
    genes
        Genes that differ most between them.
    columns
        Columns of ``obs`` that tell them apart.
    """

    share: float
    separation: float
    genes: tuple[str, ...]
    columns: tuple[str, ...]

    def __str__(self) -> str:
        text = (
            f"control cells fall into two groups ({self.share:.0%} and {1 - self.share:.0%}) that no "
            f"declared column tells apart, most different in {quote_some(self.genes)}"
        )
        if self.columns:
            text += f"; they are those of the columns {quote_some(self.columns)} of `obs`"
        return text


@dataclass(frozen=True, repr=False)
class ScreenCheck:
    """What was seen of a screen at set-up.

    Attributes
    ----------
    n_cells
        Number of cells.
    n_control
        Number of control cells.
    conditions
        Cells of each label and dose: ``perturbation, dose, n_cells``.
    doses
        Doses of the treated cells, in ascending order; none without doses.
    few_cells
        Conditions with fewer than ten cells.
    n_duplicated
        Cells with the same expression as an earlier cell.
    unused_categories
        Categories of the perturbation column without a cell.
    hidden_groups
        Groups of control cells that nobody declared, or ``None``.
    totals
        Median total of the expression of control cells in each batch; one entry without batches.
    """

    n_cells: int
    n_control: int
    conditions: pd.DataFrame
    doses: tuple[float, ...]
    few_cells: tuple[str, ...]
    n_duplicated: int
    unused_categories: tuple[str, ...]
    hidden_groups: HiddenGroups | None
    totals: dict[str, float]

    def __repr__(self) -> str:
        return str(self)

    def __str__(self) -> str:
        treated = self.conditions.perturbation.nunique() - 1
        parts = [f"{self.n_cells} cells, {self.n_control} of them control, of {treated} labels"]
        if self.doses:
            shown = ", ".join(f"{dose:g}" for dose in self.doses[:N_NAMED])
            more = f" and {len(self.doses) - N_NAMED} more" if len(self.doses) > N_NAMED else ""
            parts.append(f"doses {shown}{more}")
        totals = [
            f"{total:.4g} in {name}" if name else f"{total:.4g}"
            for name, total in self.totals.items()
        ]
        parts.append(f"median total of control cells {', '.join(totals[:N_NAMED])}")
        if self.few_cells:
            parts.append(f"{len(self.few_cells)} conditions with fewer than {FEW_CELLS} cells")
        if self.n_duplicated:
            parts.append(f"{self.n_duplicated} cells with the expression of another one")
        if self.unused_categories:
            parts.append(f"categories without a cell: {quote_some(self.unused_categories)}")
        if self.hidden_groups is not None:
            parts.append(str(self.hidden_groups))
        return ". ".join(part[0].upper() + part[1:] for part in parts) + "."

    def warn(self) -> None:
        """Warn of what will be wrong in every figure if it is not declared or mended."""
        if self.hidden_groups is not None:
            found = str(self.hidden_groups)
            warn(
                f"{found[0].upper() + found[1:]}. An undeclared cell line, donor or plate becomes a node "
                "of the causal graph and hides the effects of perturbations. Pass it as `batch_key` or "
                "in `categorical_covariate_keys`; if the groups are states of one cell type, ignore this."
            )
        if self.n_duplicated > MAX_DUPLICATED * self.n_cells:
            warn(
                f"{self.n_duplicated} of {self.n_cells} cells have exactly the expression of another one, "
                "as if a file was read twice. They count twice and leak into held-out cells. Keep one of "
                "each."
            )


def look_at_screen(
    cells: AnnData,
    expression: np.ndarray | sp.spmatrix,
    *,
    perturbation_key: str,
    control: str,
    dose_key: str | None,
    batch_key: str | None,
    declared: Sequence[str],
) -> ScreenCheck:
    """Look at a screen before it is modelled.

    Parameters
    ----------
    cells
        Columns of the cells and names of the genes.
    expression
        Cells x genes, counts or transformed.
    perturbation_key
        Column of ``obs`` with perturbations.
    control
        Label of the control.
    dose_key
        Column of ``obs`` with doses, or ``None``.
    batch_key
        Column of ``obs`` with batches, or ``None``.
    declared
        Columns of batch and covariates.

    Returns
    -------
    What was seen.
    """
    labels = cells.obs[perturbation_key]
    is_control = (labels.astype(str) == control).to_numpy()
    conditions = count_conditions(cells.obs, perturbation_key, dose_key)
    treated_doses = conditions.dose[conditions.perturbation != control].to_numpy(np.float64)
    few = conditions[conditions.n_cells < FEW_CELLS]
    rng = np.random.default_rng(0)
    rows = np.sort(rng.permutation(np.flatnonzero(is_control))[:N_CONTROL])
    sample = _read(expression, rows)
    is_finite = np.isfinite(sample).all(axis=1)
    sample, obs = sample[is_finite], cells.obs.iloc[rows[is_finite]]
    return ScreenCheck(
        n_cells=cells.n_obs,
        n_control=int(is_control.sum()),
        conditions=conditions,
        doses=tuple(distinct_doses(treated_doses).tolist()),
        few_cells=tuple(
            label if np.isnan(dose) else f"{label} at {dose:g}"
            for label, dose in zip(few.perturbation, few.dose, strict=True)
        ),
        n_duplicated=_count_duplicates(expression),
        unused_categories=_unused(labels),
        hidden_groups=find_hidden_groups(sample, obs, cells.var_names, declared, perturbation_key),
        totals=_totals(sample, None if batch_key is None else obs[batch_key]),
    )


def find_hidden_groups(
    sample: np.ndarray,
    obs: pd.DataFrame,
    genes: pd.Index,
    declared: Sequence[str],
    perturbation_key: str = "",
) -> HiddenGroups | None:
    """Look for two groups of control cells that no declared column tells apart.

    Parameters
    ----------
    sample
        Expression of control cells, counts or transformed.
    obs
        Their columns.
    genes
        Names of the genes.
    declared
        Columns of batch and covariates, whose differences are taken away first.
    perturbation_key
        Column of perturbations, which are all control here.

    Returns
    -------
    The groups, or ``None`` where there are none.
    """
    # In a panel of few genes the zeros of one of them look like a group.
    if len(sample) < MIN_CELLS or sample.shape[1] < MIN_DETECTED:
        return None
    values = _without_declared(_logarithms(sample), obs, declared)
    spread = values.std(axis=0)
    chosen = np.argsort(-spread)[:N_GENES]
    values = values[:, chosen[spread[chosen] > 0]]
    names = genes[chosen[spread[chosen] > 0]]
    if values.shape[1] < 2:
        return None
    largest = np.abs(values).max()
    if not MIN_NUMBER < largest < MAX_NUMBER:
        return None  # squares would overflow; expression as large is refused later
    _, vectors = np.linalg.eigh(np.cov(values.T))
    scores = values @ vectors[:, ::-1][:, :N_COMPONENTS]
    splits = [_sharpened(scores, scores[:, column]) for column in range(scores.shape[1])]
    separation, is_upper = max(splits, key=lambda split: split[0])
    others = [key for key in obs if key not in {*declared, perturbation_key} and key[0] != "_"]
    columns = tuple(key for key in others if _tells_apart(obs[key], is_upper))
    if separation < (MIN_SEPARATION_NAMED if columns else MIN_SEPARATION):
        return None
    difference = np.abs(values[is_upper].mean(0) - values[~is_upper].mean(0))
    share = float(min(is_upper.mean(), 1 - is_upper.mean()))
    return HiddenGroups(
        share,
        separation,
        tuple(names[np.argsort(-difference)[:N_NAMED]]),
        columns,
    )


def _read(expression: np.ndarray | sp.spmatrix, rows: np.ndarray) -> np.ndarray:
    block = expression[rows]
    return np.asarray(block.toarray() if hasattr(block, "toarray") else block, dtype=np.float64)


def _logarithms(sample: np.ndarray) -> np.ndarray:
    """log1p of counts per ten thousand; what is transformed already stays."""
    totals = sample.sum(1, keepdims=True)
    if (sample < 0).any() or (sample != np.round(sample)).any() or (totals == 0).any():
        return sample
    return np.log1p(sample / totals * TOTAL)


def _without_declared(values: np.ndarray, obs: pd.DataFrame, declared: Sequence[str]) -> np.ndarray:
    """Take away what declared categories and numbers explain linearly."""
    columns = [np.ones((len(values), 1))]
    for key in declared:
        column = obs[key]
        if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
            numbers = column.to_numpy(np.float64, na_value=np.nan)
            columns.append((numbers - numbers.mean())[:, None] / (numbers.std() or 1.0))
            if column.nunique() > N_COMPONENTS:
                continue
        columns.append(pd.get_dummies(column.astype(str)).to_numpy(np.float64))
    design = np.hstack(columns)
    rest: np.ndarray = values - design @ np.linalg.lstsq(design, values, rcond=None)[0]
    return rest


def _sharpened(scores: np.ndarray, start: np.ndarray) -> tuple[float, np.ndarray]:
    """Divide cells in two, along the direction that tells the groups apart best (Fisher's)."""
    found = _split_in_two(start)
    for _ in range(N_SHARPENINGS):
        is_upper = found[1]
        groups = scores[is_upper], scores[~is_upper]
        if min(map(len, groups)) < N_COMPONENTS:
            return found
        within = sum(np.cov(group.T) * len(group) for group in groups) / len(scores)
        towards = groups[0].mean(0) - groups[1].mean(0)
        better = _split_in_two(scores @ np.linalg.lstsq(within, towards, rcond=None)[0])
        if better[0] <= found[0]:
            return found
        found = better
    return found


def _split_in_two(scores: np.ndarray) -> tuple[float, np.ndarray]:
    """Ashman's D of the best division of scores in two, and which are in its upper part."""
    order = np.sort(scores)
    n = len(order)
    sums, squares = np.cumsum(order), np.cumsum(order**2)
    sizes = np.arange(1, n + 1)
    low, high = max(2, int(np.ceil(MIN_SHARE * n))), min(n - 2, int(n - np.ceil(MIN_SHARE * n)))
    size = sizes[low - 1 : high]
    lower, upper = sums[low - 1 : high] / size, (sums[-1] - sums[low - 1 : high]) / (n - size)
    within_lower = squares[low - 1 : high] / size - lower**2
    within_upper = (squares[-1] - squares[low - 1 : high]) / (n - size) - upper**2
    # The division with the smallest spread within, as k-means would find it.
    best = int(np.argmin(size * within_lower + (n - size) * within_upper))
    spread = np.sqrt(max(within_lower[best] + within_upper[best], 1e-12))
    separation = float(np.sqrt(2) * (upper[best] - lower[best]) / spread)
    return separation, scores >= order[size[best]]


def _tells_apart(column: pd.Series, is_upper: np.ndarray) -> bool:
    """Whether the categories of a column are one of two groups each."""
    if column.nunique() < 2 or column.nunique() > min(MAX_CATEGORIES, len(column) // 5):
        return False
    table = pd.crosstab(column.astype(str).to_numpy(), is_upper)
    # A column says nothing where all of its categories are in the larger group.
    share_right = table.max(axis=1).sum() / len(column)
    share_larger = max(is_upper.mean(), 1 - is_upper.mean())
    return bool(share_right - share_larger >= MIN_PURITY * (1 - share_larger))


def _count_duplicates(expression: np.ndarray | sp.spmatrix) -> int:
    """Cells with the same random projection as an earlier one, where that is no chance."""
    if expression.shape[1] < MIN_DETECTED:
        return 0
    direction = np.random.default_rng(0).standard_normal(expression.shape[1])
    n_same, known = 0, np.zeros(0)
    for start in range(0, expression.shape[0], CELLS_PER_BLOCK):
        block = expression[start : start + CELLS_PER_BLOCK]
        is_rich = np.asarray((block != 0).sum(1)).ravel() >= MIN_DETECTED
        # Sums of the same numbers differ in their last digits where they are taken in another order.
        projected = np.round(np.asarray(block.dot(direction)).ravel()[is_rich], N_DIGITS)
        different = np.unique(np.append(known, projected))
        n_same += len(known) + len(projected) - len(different)
        known = different
    return n_same


def _unused(labels: pd.Series) -> tuple[str, ...]:
    if not isinstance(labels.dtype, pd.CategoricalDtype):
        return ()
    used = set(labels.cat.remove_unused_categories().cat.categories)
    return tuple(str(name) for name in labels.cat.categories if name not in used)


def _totals(sample: np.ndarray, batch: pd.Series | None) -> dict[str, float]:
    totals = pd.Series(sample.sum(1))
    if batch is None:
        return {"": float(totals.median())}
    medians = totals.groupby(batch.astype(str).to_numpy()).median()
    return {str(name): float(value) for name, value in medians.items()}

"""Predictions that do not differ between perturbations, and controls that are none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import binomtest

from scgim._messages import quote_some
from scgim.evaluation._training_screen import ScreenKeys, TrainingScreen, group_means

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import anndata as ad
    from numpy.typing import NDArray

LEVEL = 0.95
N_RESAMPLES = 1000
MAX_COLLAPSED_RATIO = 0.02
# Common part of the shift at the lowest dose, over what higher doses add.
MAX_COMMON_SHARE = 0.25
MIN_DOSES = 2
# One potent drug works at its lowest dose; that many drugs do so in the same way is no chance.
MIN_TO_SHARE = 5


@dataclass(frozen=True)
class BetweenVariance:
    """How much predictions differ between perturbations, against how much the truth does.

    Attributes
    ----------
    ratio
        Variance between perturbations at each dose, predicted over true: 1 is as different as the
        truth, 0 is one answer for all. An honest prediction that explains a share R² of the variance
        has about that ratio, not 1.
    lower
        Lower end of the 95 % interval over perturbations.
    upper
        Upper end.
    is_collapsed
        Whether the interval lies below 0.02.
    """

    ratio: float
    lower: float
    upper: float
    is_collapsed: bool


def compare_between_variance(
    predicted: NDArray[np.float64],
    true: NDArray[np.float64],
    perturbations: pd.Series,
    doses: pd.Series | None = None,
    *,
    sampling_variance: NDArray[np.float64] | None = None,
) -> BetweenVariance:
    """Compare how much predicted and true mean shifts differ between perturbations.

    Parameters
    ----------
    predicted
        Predicted mean shift, shape ``(n_conditions, n_genes)``.
    true
        True mean shift, same shape.
    perturbations
        Perturbation of each condition.
    doses
        Dose of each condition; perturbations are compared at the same dose.
    sampling_variance
        Variance of ``true`` from the number of treated cells, same shape, which is no difference
        between perturbations. The error of control cells that conditions share cancels.

    Returns
    -------
    The ratio with an interval, and whether predictions have collapsed.
    """
    names, code = np.unique(np.asarray(perturbations, dtype=str), return_inverse=True)
    check_differing_perturbations(len(names))
    dose = np.zeros(len(code)) if doses is None else np.asarray(doses, dtype=float)
    noise = np.zeros(len(true)) if sampling_variance is None else sampling_variance.sum(axis=1)
    own, truth = (_squares_from_dose_mean(table, dose) for table in (predicted, true))
    truth = truth - noise * (1.0 - 1.0 / _n_at_dose(dose))
    by_perturbation = np.array(
        [np.bincount(code, values, minlength=len(names)) for values in (own, truth)]
    )
    rng = np.random.default_rng(0)
    drawn = by_perturbation[:, rng.integers(len(names), size=(N_RESAMPLES, len(names)))].sum(axis=2)
    ratios = drawn[0] / np.maximum(drawn[1], 1e-12)
    tail = (1.0 - LEVEL) / 2.0
    lower, upper = np.quantile(ratios, [tail, 1.0 - tail])
    total = by_perturbation.sum(axis=1)
    ratio = float(total[0] / max(total[1], 1e-12))
    return BetweenVariance(ratio, float(lower), float(upper), bool(upper < MAX_COLLAPSED_RATIO))


@dataclass(frozen=True)
class ControlAudit:
    """Whether the control cells are one population, and the one that doses start from.

    Attributes
    ----------
    vehicles
        One row per group of control cells compared with all others: ``group``, ``n_cells``,
        ``distance`` (squared, between mean expressions in principal components), ``band`` (largest
        that chance explains, at 95 % over all groups) and ``is_outside``.
    common_share
        Square of the shift that all perturbations share at their lowest dose, over the mean square
        of what their highest dose adds; NaN without doses.
    common_p_value
        How often chance gives such a common shift; NaN without doses.
    problems
        A sentence for each thing that is wrong; empty where all is well.
    """

    vehicles: pd.DataFrame
    common_share: float
    common_p_value: float
    problems: list[str]


def audit_control(
    adata: ad.AnnData,
    *,
    keys: ScreenKeys | None = None,
    by: str | None = None,
    n_permutations: int = 200,
    seed: int = 0,
) -> ControlAudit:
    """Test control cells against control cells, and against the lowest doses.

    Vehicle against vehicle has no effect, so a group of control cells (a plate, a well, a batch) that
    differs from the others by more than chance is not what its label says. And where doses fall, effects
    vanish: a shift that all perturbations share at their lowest dose belongs to the control.

    Parameters
    ----------
    adata
        The screen, which is not changed.
    keys
        Where its design is.
    by
        Column of ``obs`` with groups of control cells, which are compared within the context of
        ``keys``. Without it, two random halves show what chance looks like, which is never a problem.
    n_permutations
        Permutations of groups between control cells.
    seed
        Seed of halves and permutations.

    Returns
    -------
    Distances, and sentences on what is wrong.
    """
    screen = TrainingScreen(adata, keys or ScreenKeys())
    rng = np.random.default_rng(seed)
    scores = screen.pca.transform(screen.expression)
    control = _without_contexts(scores[screen.is_control], screen)
    groups = (
        rng.permutation(np.arange(len(control)) % 2).astype(str)
        if by is None
        else adata.obs[by].astype(str).to_numpy()[screen.is_control]
    )
    vehicles = _compare_groups(control, groups, n_permutations, rng)
    share, p_value = _common_shift(screen, scores, n_permutations, rng)
    problems = [
        f"Control cells of {row['group']!r} differ from the other control cells: their squared distance "
        f"is {row['distance']:.3g}, chance explains {row['band']:.3g}. Look for treated cells among them, "
        "or name these groups as contexts (`context`), each with control cells of its own."
        for row in vehicles[vehicles["is_outside"] & (by is not None)].to_dict("records")
    ]
    if share > MAX_COMMON_SHARE and p_value < 1.0 - LEVEL:
        problems.append(
            f"All perturbations share a shift from {screen.keys.control!r} at their lowest dose that is "
            f"{share:.2g} of what their highest dose adds (p = {p_value:.2g}). The label of the control "
            "cells may be that of a treatment, or they were run apart from the treated ones."
        )
    return ControlAudit(vehicles, share, p_value, problems)


@dataclass(frozen=True)
class FalseTargetRate:
    """How often perturbations without an effect are given targets.

    Attributes
    ----------
    rate
        Share of pairs of perturbation and node called a target.
    lower
        Lower end of the 95 % interval (Wilson, pairs taken as independent).
    upper
        Upper end.
    n_pairs
        Number of pairs.
    with_any
        Share of these perturbations with at least one target.
    """

    rate: float
    lower: float
    upper: float
    n_pairs: int
    with_any: float


def false_target_rate(targets: pd.DataFrame, no_effect: Collection[str]) -> FalseTargetRate:
    """Count the targets of perturbations that have no effect.

    Parameters
    ----------
    targets
        Table of ``GIM.get_intervention_targets``, with ``perturbation`` and ``is_target``.
    no_effect
        Perturbations that are known to do nothing, such as those of :func:`add_decoys`.

    Returns
    -------
    The rate with an interval.
    """
    rows = targets[targets["perturbation"].astype(str).isin({str(name) for name in no_effect})]
    check_decoys(len(rows), sorted(map(str, no_effect)), targets["perturbation"].astype(str))
    called = rows["is_target"].to_numpy(dtype=bool)
    interval = binomtest(int(called.sum()), len(called)).proportion_ci(LEVEL, method="wilson")
    with_any = rows.groupby(rows["perturbation"].astype(str))["is_target"].any().mean()
    return FalseTargetRate(
        float(called.mean()),
        float(interval.low),
        float(interval.high),
        len(called),
        float(with_any),
    )


def add_decoys(
    adata: ad.AnnData,
    n_decoys: int,
    *,
    keys: ScreenKeys | None = None,
    fraction: float = 0.5,
    seed: int = 0,
) -> ad.AnnData:
    """Relabel control cells as perturbations that do nothing.

    Parameters
    ----------
    adata
        The screen, which is not changed.
    n_decoys
        Number of decoys, named ``"decoy 0"`` and so on.
    keys
        Where the design is.
    fraction
        Share of the control cells that become decoys.
    seed
        Seed of the choice.

    Returns
    -------
    A copy. Each decoy has the doses, and the features, of a perturbation drawn at random.
    """
    keys = keys or ScreenKeys()
    rng = np.random.default_rng(seed)
    copy = adata.copy()
    labels = copy.obs[keys.perturbation].astype(str)
    treated = np.sort(labels[labels != keys.control].unique())
    models = rng.choice(treated, n_decoys, replace=n_decoys > len(treated))
    control = rng.permutation(np.flatnonzero((labels == keys.control).to_numpy()))
    chosen = control[: int(fraction * len(control))]
    names = [f"decoy {number}" for number in range(n_decoys)]
    for name, model, cells in zip(names, models, np.array_split(chosen, n_decoys), strict=True):
        labels.iloc[cells] = name
        if keys.dose is not None:
            doses = np.sort(copy.obs.loc[labels == model, keys.dose].unique())
            column = copy.obs.columns.get_loc(keys.dose)
            copy.obs.iloc[cells, column] = doses[np.arange(len(cells)) % len(doses)]
    copy.obs[keys.perturbation] = pd.Categorical(labels)
    if keys.features is not None:
        table = copy.uns[keys.features]
        copy.uns[keys.features] = pd.concat([table, table.loc[models].set_axis(names)])
    return copy


def _squares_from_dose_mean(
    shift: NDArray[np.float64], dose: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Squared distance of each condition from the mean at its dose, ``(n_conditions,)``."""
    squares = np.zeros(len(shift))
    for one in np.unique(dose):
        rows = dose == one
        squares[rows] = ((shift[rows] - shift[rows].mean(axis=0)) ** 2).sum(axis=1)
    return squares


def _n_at_dose(dose: NDArray[np.float64]) -> NDArray[np.int64]:
    """Count the conditions at the dose of each condition: their mean is subtracted, noise and all."""
    _, code, n_conditions = np.unique(dose, return_inverse=True, return_counts=True)
    return n_conditions[code]


def _compare_groups(
    scores: NDArray[np.float64],
    groups: NDArray[np.str_],
    n_permutations: int,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Distance of each group from the others, and the largest that permuted groups reach."""
    names, code = np.unique(groups, return_inverse=True)
    distance = _distances_from_others(scores, code, len(names))
    permuted = np.array(
        [
            _distances_from_others(scores, rng.permutation(code), len(names))
            for _ in range(n_permutations)
        ]
    )
    size = np.bincount(code)
    # Small groups scatter more: compare in units of what a group of that size does by chance.
    usual = permuted.mean(axis=0)
    band = np.quantile((permuted / usual).max(axis=1), LEVEL) * usual
    return pd.DataFrame(
        {
            "group": names,
            "n_cells": size,
            "distance": distance,
            "band": band,
            "is_outside": distance > band,
        }
    )


def _without_contexts(control: NDArray[np.float64], screen: TrainingScreen) -> NDArray[np.float64]:
    """Take the mean of their context off control cells: cell lines differ, and may."""
    context = screen.keys.plain(screen.adata.obs)["context"].to_numpy()[screen.is_control]
    code = np.unique(context, return_inverse=True)[1]
    return control - group_means(control, code, code.max() + 1)[code]


def _distances_from_others(
    scores: NDArray[np.float64], code: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    size = np.bincount(code, minlength=n_groups)[:, None]
    sums = np.zeros((n_groups, scores.shape[1]))
    np.add.at(sums, code, scores)
    mean_of_others = (sums.sum(axis=0) - sums) / np.maximum(len(code) - size, 1)
    return ((sums / size - mean_of_others) ** 2).sum(axis=1)


def _common_shift(
    screen: TrainingScreen,
    scores: NDArray[np.float64],
    n_permutations: int,
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Share and p value of the shift that all perturbations have at their lowest dose."""
    conditions = screen.conditions
    dose = conditions.groupby("perturbation")["dose"]
    n_doses = dose.transform("nunique")
    lowest, highest = (
        (conditions["dose"] == dose.transform(end)) & (n_doses >= MIN_DOSES)
        for end in ("min", "max")
    )
    n_perturbations = conditions.loc[lowest, "perturbation"].nunique()
    if screen.keys.dose is None or n_perturbations < MIN_TO_SHARE:
        return np.nan, np.nan
    projected = screen.shift @ screen.pca.components_.T
    added = (projected[highest] - projected[lowest].mean(axis=0)) ** 2
    common = ((projected[lowest].mean(axis=0)) ** 2).sum()
    plain = screen.keys.plain(screen.adata.obs)[["perturbation", "dose"]]
    wanted = pd.MultiIndex.from_frame(conditions.loc[lowest, ["perturbation", "dose"]])
    is_low = pd.MultiIndex.from_frame(plain).isin(wanted)
    pool = np.flatnonzero(is_low | screen.is_control)
    code = np.where(is_low[pool], 1, 0)
    observed = _distances_from_others(scores[pool], code, 2)[1]
    permuted = [
        _distances_from_others(scores[pool], rng.permutation(code), 2)[1]
        for _ in range(n_permutations)
    ]
    p_value = (1 + sum(value >= observed for value in permuted)) / (1 + n_permutations)
    return float(common / max(added.sum(axis=1).mean(), 1e-12)), float(p_value)


def check_differing_perturbations(n_perturbations: int) -> None:
    """Raise unless there are perturbations to tell apart.

    Parameters
    ----------
    n_perturbations
        Number of different perturbations.
    """
    if n_perturbations < 2:
        msg = (
            f"Differences between perturbations need at least two of them, but there is "
            f"{n_perturbations}. Pass the conditions of more perturbations."
        )
        raise ValueError(msg)


def check_decoys(n_rows: int, decoys: Sequence[str], known: Collection[str]) -> None:
    """Raise if a table of targets has no perturbation without an effect.

    Parameters
    ----------
    n_rows
        Rows of these perturbations.
    decoys
        Perturbations that are known to do nothing.
    known
        Perturbations of the table.
    """
    if n_rows == 0:
        msg = (
            f"`targets` has no row of {quote_some(decoys)}. It has perturbations such as "
            f"{quote_some(sorted(set(known))[:3])}. Pass perturbations of the table that do nothing."
        )
        raise ValueError(msg)

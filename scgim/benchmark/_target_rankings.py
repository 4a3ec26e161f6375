"""Rankings of genes as the target of each perturbation: causal evidence and baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from scgim.benchmark._named_genes import to_array
from scgim.scm import CountScreen, control_deviation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KNOCK_OUT = -1
N_RESAMPLES = 500
INTERVAL = (0.05, 0.95)
PSEUDO_COUNT = 0.01
# A gene with hardly a count has the same z in most perturbations.
MIN_SPREAD = 1e-12
CONTROL = "control"
# What a table of targets of GIM says; all other rankings are baselines.
EVIDENCE, UNORIENTED = "evidence", "evidence, direction unknown"
METHODS = {EVIDENCE, UNORIENTED, "residual", "probability"}


def select_panel(adata: ad.AnnData, n_genes: int | None) -> NDArray[np.int64]:
    """Choose all known targets and the genes of largest mean count; genes without counts go.

    Parameters
    ----------
    adata
        Counts.
    n_genes
        Genes of largest mean, ``None`` for all.

    Returns
    -------
    Positions of the genes.
    """
    mean = np.asarray(adata.X.mean(axis=0)).ravel()
    if n_genes is None or n_genes >= adata.n_vars:
        return np.flatnonzero(mean > 0)
    known = adata.var_names.isin(adata.uns["known_targets"]["target"])
    largest = np.argsort(-mean)[:n_genes]
    return np.union1d(np.flatnonzero(known), largest)


def prepare_screen(adata: ad.AnnData, panel: NDArray[np.int64]) -> ad.AnnData:
    """Bring a screen of knock-outs to a panel of genes.

    Parameters
    ----------
    adata
        Counts, with ``obs["perturbation"]`` and ``obs["is_control"]``.
    panel
        Positions of the genes.

    Returns
    -------
    Cells that have a count in the panel, with ``obs["perturbation"]`` (:data:`CONTROL` for control
    cells), ``obs["depth"]`` of all genes, and ``obs["bio_rep"]`` where there are replicates.
    """
    total = np.asarray(adata.X.sum(axis=1)).ravel()
    depth = adata.obs["nUMI"].to_numpy(dtype=float) if "nUMI" in adata.obs else total
    is_control = adata.obs["is_control"].to_numpy(dtype=bool)
    label = np.where(is_control, CONTROL, adata.obs["perturbation"].astype(str))
    obs = pd.DataFrame({"perturbation": pd.Categorical(label)}, index=adata.obs_names)
    obs["depth"] = np.maximum(depth, 1.0)
    if "bio_rep" in adata.obs:
        obs["bio_rep"] = adata.obs["bio_rep"].to_numpy()
    counts = adata.X[:, panel]
    has_counts = np.asarray(counts.sum(axis=1)).ravel() > 0
    var = pd.DataFrame(index=adata.var_names[panel])
    return ad.AnnData(counts[has_counts].astype(np.float32), obs=obs[has_counts], var=var)


def to_count_screen(screen: ad.AnnData, names: Sequence[str]) -> CountScreen:
    """Read counts, depths, perturbations and batches, for the baselines.

    Parameters
    ----------
    screen
        As :func:`prepare_screen` gives it.
    names
        Perturbations in the order of their codes.

    Returns
    -------
    The screen as arrays.
    """
    counts = screen.X.toarray() if hasattr(screen.X, "toarray") else np.asarray(screen.X)
    depth = screen.obs["depth"].to_numpy(dtype=float)
    # The control is no name and gets -1.
    code = pd.Index(names).get_indexer(screen.obs["perturbation"].astype(str))
    covariates = np.zeros((screen.n_obs, 0))
    if "bio_rep" in screen.obs:
        batch = pd.get_dummies(screen.obs["bio_rep"], drop_first=True)
        covariates = batch.to_numpy(dtype=float)
    whole = np.rint(counts).astype(np.int64)
    return CountScreen(whole, depth / np.median(depth), code, covariates)


def baseline_rankings(
    screen: CountScreen, specific: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Score targets by ten measures of differential expression.

    Parameters
    ----------
    screen
        The counts.
    specific
        z relative to the other perturbations, shape ``(n_perturbations, n_genes)``.

    Returns
    -------
    Scores, higher for likelier targets, by name.
    """
    mean, deviation = control_deviation(screen)
    values = (screen.log_expression(screen.counts) - mean) / deviation
    scaled = screen.counts / screen.size_factor[:, None]
    control = screen.is_control
    z, ranks, fold = [], [], []
    for code in range(int(screen.perturbation.max()) + 1):
        treated = screen.perturbation == code
        error = (
            values[treated].var(axis=0) / treated.sum()
            + values[control].var(axis=0) / control.sum()
        )
        z.append((values[treated].mean(axis=0) - values[control].mean(axis=0)) / np.sqrt(error))
        ranks.append(_rank_sum(values[control], values[treated]))
        top, bottom = scaled[treated].mean(axis=0), scaled[control].mean(axis=0)
        fold.append(np.log((top + PSEUDO_COUNT) / (bottom + PSEUDO_COUNT)))
    centred = np.stack(z) - np.median(z, axis=0)
    signed = {
        "z": np.stack(z),
        "z over perturbations": centred
        / np.maximum(np.median(np.abs(centred), axis=0), MIN_SPREAD),
        "z specific": specific,
        "rank sum": np.stack(ranks),
        "log fold change": np.stack(fold),
    }
    by_sign = {f"-{name}": KNOCK_OUT * score for name, score in signed.items()}
    return by_sign | {f"|{name}|": np.abs(score) for name, score in signed.items()}


def model_rankings(
    oriented: pd.DataFrame,
    unknown: pd.DataFrame,
    names: Sequence[str],
    genes: Sequence[str],
) -> dict[str, NDArray[np.float64]]:
    """Score targets as :meth:`GIM.get_intervention_targets` does, column by column.

    Parameters
    ----------
    oriented
        Table of a model that was told that perturbations lower their targets.
    unknown
        Table of a model that was told nothing.
    names
        Perturbations.
    genes
        Genes.

    Returns
    -------
    Scores, higher for likelier targets, by name.
    """
    return {
        EVIDENCE: to_array(oriented, "evidence", names, genes),
        "residual": KNOCK_OUT * to_array(oriented, "residual", names, genes),
        "probability": to_array(oriented, "probability", names, genes),
        UNORIENTED: to_array(unknown, "evidence", names, genes),
    }


def score_rankings(
    rankings: dict[str, NDArray[np.float64]],
    is_target: NDArray[np.bool_],
    rng: np.random.Generator,
    *,
    n_resamples: int = N_RESAMPLES,
) -> pd.DataFrame:
    """Score rankings, with bootstrap intervals over perturbations.

    Parameters
    ----------
    rankings
        Scores by name, shape ``(n_perturbations, n_genes)`` each.
    is_target
        Known targets, same shape; perturbations without one do not count.
    rng
        Source of the resamples, which all methods share.
    n_resamples
        How many.

    Returns
    -------
    One row per method.
    """
    rows = np.flatnonzero(is_target.any(axis=1))
    samples = [rng.choice(rows, len(rows)) for _ in range(n_resamples)]
    point = {name: _pooled_precision(score, is_target, rows) for name, score in rankings.items()}
    spread = {
        name: np.array([_pooled_precision(score, is_target, chosen) for chosen in samples])
        for name, score in rankings.items()
    }
    best = max((name for name in rankings if name not in METHODS), key=point.__getitem__)
    table = []
    for name, score in rankings.items():
        rank = _target_rank(score[rows], is_target[rows])
        lower, upper = np.quantile(spread[name], INTERVAL)
        gain_lower, gain_upper = np.quantile(spread[name] - spread[best], INTERVAL)
        table.append(
            {
                "method": name,
                "average_precision": point[name],
                "lower": lower,
                "upper": upper,
                "mrr": float((1 / rank).mean()),
                "recall_at_1": float((rank == 1).mean()),
                "gain": point[name] - point[best],
                "gain_lower": gain_lower,
                "gain_upper": gain_upper,
            }
        )
    return pd.DataFrame(table)


def known_targets(
    adata: ad.AnnData, names: Sequence[str], genes: Sequence[str]
) -> NDArray[np.bool_]:
    """Read the known targets.

    Parameters
    ----------
    adata
        Screen with ``uns["known_targets"]``: columns ``perturbation`` and ``target``.
    names
        Perturbations.
    genes
        Genes.

    Returns
    -------
    Targets, shape ``(n_perturbations, n_genes)``.
    """
    known = adata.uns["known_targets"]
    pairs = set(zip(known["perturbation"].astype(str), known["target"].astype(str), strict=True))
    return np.array([[(name, gene) in pairs for gene in genes] for name in names])


def _pooled_precision(
    score: NDArray[np.float64], is_target: NDArray[np.bool_], rows: NDArray[np.int64]
) -> float:
    return float(average_precision_score(is_target[rows].ravel(), score[rows].ravel()))


def _target_rank(score: NDArray[np.float64], is_target: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Rank of the best target in each row, ties in the middle."""
    best = np.where(is_target, score, -np.inf).max(axis=1, keepdims=True)
    return (score > best).sum(axis=1) + ((score == best).sum(axis=1) + 1) / 2


def _rank_sum(control: NDArray[np.float64], treated: NDArray[np.float64]) -> NDArray[np.float64]:
    """Standardised rank-sum statistic of each gene, corrected for ties."""
    ranks = rankdata(np.vstack([control, treated]), axis=0)
    n_treated, n = len(treated), len(ranks)
    excess = ranks[len(control) :].sum(axis=0) - n_treated * (n + 1) / 2
    variance = n_treated * len(control) / (n - 1) * ranks.var(axis=0)
    return excess / np.sqrt(variance + 1e-12)


def profile_rankings(
    profiles: NDArray[np.float64], control: NDArray[np.float64], specific: NDArray[np.float64]
) -> dict[str, NDArray[np.float64]]:
    """Score targets in screens with one profile per perturbation by measures of its difference.

    Parameters
    ----------
    profiles
        One row per perturbation.
    control
        Profile of unperturbed cells.
    specific
        z relative to the other perturbations, same shape as ``profiles``.

    Returns
    -------
    Scores, higher for likelier targets, by name.
    """
    difference = profiles - control
    signed = {
        "difference": difference,
        "z": difference / np.maximum(profiles.std(axis=0), MIN_SPREAD),
        "z specific": specific,
        "log fold change": np.log((profiles + PSEUDO_COUNT) / (control + PSEUDO_COUNT)),
    }
    by_sign = {f"-{name}": KNOCK_OUT * score for name, score in signed.items()}
    return by_sign | {f"|{name}|": np.abs(score) for name, score in signed.items()}

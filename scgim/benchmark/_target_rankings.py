"""Rankings of genes as the target of each perturbation: causal evidence and baselines."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.stats import rankdata
from sklearn.metrics import average_precision_score

from scgim.scm import CountScreen, TargetEvidence, control_deviation

if TYPE_CHECKING:
    from collections.abc import Sequence

    import anndata as ad
    from numpy.typing import NDArray

KNOCK_OUT = -1
N_RESAMPLES = 500
INTERVAL = (0.05, 0.95)
PSEUDO_COUNT = 0.01
COMBINED = "combined"
METHODS = {COMBINED, "residual", "combined, unsigned", "search"}


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


def to_count_screen(adata: ad.AnnData, panel: NDArray[np.int64]) -> tuple[CountScreen, list[str]]:
    """Read counts, depths, perturbations and batches.

    Parameters
    ----------
    adata
        Counts, with ``obs["perturbation"]`` and ``obs["is_control"]``.
    panel
        Positions of the genes.

    Returns
    -------
    The screen, and the names of its perturbations in the order of their codes.
    """
    counts = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    depth = adata.obs["nUMI"].to_numpy(dtype=float) if "nUMI" in adata.obs else counts.sum(axis=1)
    depth = np.maximum(depth, 1.0)
    label = adata.obs["perturbation"].astype(str).to_numpy()
    is_control = adata.obs["is_control"].to_numpy(dtype=bool)
    names = sorted(set(label[~is_control]))
    code = np.where(is_control, -1, pd.Index(names).get_indexer(label))
    batch = (
        pd.get_dummies(adata.obs["bio_rep"], drop_first=True) if "bio_rep" in adata.obs else None
    )
    covariates = np.zeros((adata.n_obs, 0)) if batch is None else batch.to_numpy(dtype=float)
    screen = CountScreen(
        np.rint(counts[:, panel]).astype(np.int64), depth / np.median(depth), code, covariates
    )
    return screen, names


def baseline_rankings(
    screen: CountScreen, evidence: TargetEvidence
) -> dict[str, NDArray[np.float64]]:
    """Score targets by ten measures of differential expression.

    Parameters
    ----------
    screen
        The counts.
    evidence
        Its marginal score is z relative to the other perturbations.

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
        "z over perturbations": centred / np.median(np.abs(centred), axis=0),
        "z specific": evidence.marginal,
        "rank sum": np.stack(ranks),
        "log fold change": np.stack(fold),
    }
    by_sign = {f"-{name}": KNOCK_OUT * score for name, score in signed.items()}
    return by_sign | {f"|{name}|": np.abs(score) for name, score in signed.items()}


def method_rankings(evidence: TargetEvidence) -> dict[str, NDArray[np.float64]]:
    """Score targets by the causal evidence.

    Parameters
    ----------
    evidence
        Marginal and residual scores.

    Returns
    -------
    Scores, higher for likelier targets, by name.
    """
    return {
        "combined": evidence.combine(sign=KNOCK_OUT),
        "residual": KNOCK_OUT * evidence.residual,
        "combined, unsigned": evidence.combine(),
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
    profiles: NDArray[np.float64], control: NDArray[np.float64], evidence: TargetEvidence
) -> dict[str, NDArray[np.float64]]:
    """Score targets in screens with one profile per perturbation.

    Parameters
    ----------
    profiles
        One row per perturbation.
    control
        Profile of unperturbed cells.
    evidence
        Its marginal score is z relative to the other perturbations.

    Returns
    -------
    Scores, higher for likelier targets, by name; combined evidence and baselines.
    """
    difference = profiles - control
    signed = {
        "difference": difference,
        "z": difference / np.maximum(profiles.std(axis=0), 1e-12),
        "z specific": evidence.marginal,
        "log fold change": np.log((profiles + PSEUDO_COUNT) / (control + PSEUDO_COUNT)),
    }
    by_sign = {f"-{name}": KNOCK_OUT * score for name, score in signed.items()}
    both = by_sign | {f"|{name}|": np.abs(score) for name, score in signed.items()}
    return both | {
        COMBINED: evidence.combine(sign=KNOCK_OUT),
        "combined, unsigned": evidence.combine(),
    }

"""What the report of an evaluation says about the use of features."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from scgim.evaluation._feature_audit import (
    FeatureAudit,
    audit_on,
    join_audits,
    unseen_perturbations,
)
from scgim.evaluation._predictors import GIMPredictor, RefittedGIM
from scgim.evaluation.report._report import ReportTable, ReportText, title_at

if TYPE_CHECKING:
    from scgim.evaluation._evaluate import Evaluation
    from scgim.evaluation.report._artifacts import OutputFolder

TITLE = "Are the features used?"
AUDIT_NOTE = (
    "Each unseen perturbation is predicted again as if it had the features of another one (shuffled), "
    "none (zeroed) or values drawn column by column (random). Retrained: what GIM learns from features, "
    "which is learned after training, is learned anew from shuffled or random features, or from one "
    "indicator per perturbation (one-hot). R² counts the 50 genes of each condition that truly moved most; "
    "means over seeds. Lowest and highest: ends of the 95 % intervals, paired over perturbations, of all "
    "seeds. A model that uses features loses R² in every row."
)
NOT_NEEDED = (
    "No audit: this split holds out doses, contexts or combinations of perturbations that were trained on. "
    "What these do is known from their own cells; features are not asked, so replacing them would show "
    'nothing. Audit a split that holds out whole perturbations, such as "drug".'
)
NOT_POSSIBLE = "No audit: GIM could not predict the unseen perturbations of this split: {reason}."


def audit_evaluation(gim: GIMPredictor, evaluation: Evaluation, seed: int) -> FeatureAudit | str:
    """Audit a GIM on the held-out perturbations that it has not seen.

    Parameters
    ----------
    gim
        Trained predictor.
    evaluation
        Its evaluation.
    seed
        Seed of the draws.

    Returns
    -------
    The audit, or in words why there is none.
    """
    screen, truth = evaluation.screen, evaluation.truth
    if not unseen_perturbations(screen, truth.conditions):
        return NOT_NEEDED
    reasons = [reason for reason in gim.why_not(truth.conditions) if reason]
    if reasons:
        return NOT_POSSIBLE.format(reason=reasons[0])
    return audit_on(
        gim,
        screen,
        truth.conditions,
        truth.shift,
        retrain=lambda: RefittedGIM(gim),
        seed=seed,
    )


def join_found(audits: dict[int, FeatureAudit | str]) -> FeatureAudit | str:
    """Join the audits of all seeds, or repeat why there is none.

    Parameters
    ----------
    audits
        What :func:`audit_evaluation` found for each seed.

    Returns
    -------
    As :func:`audit_evaluation`.
    """
    found = {seed: audit for seed, audit in audits.items() if isinstance(audit, FeatureAudit)}
    missing = [audit for audit in audits.values() if isinstance(audit, str)]
    return join_audits(found) if found else missing[0]


def add_audit(folder: OutputFolder, audit: FeatureAudit | str, where: str = "") -> None:
    """Add verdict and table of an audit, or why there is none.

    Parameters
    ----------
    folder
        Where to add it.
    audit
        What was found.
    where
        Split, where a page shows several.
    """
    title = title_at(TITLE, where)
    if isinstance(audit, str):
        folder.items.append(ReportText(title, audit))
        return
    table = ReportTable(
        title, audit_table(audit), note=f"{audit.sentence} {AUDIT_NOTE}", digits=3, emphasis=OWN
    )
    folder.add_table(table)


OWN = "own features"


def audit_table(audit: FeatureAudit) -> pd.DataFrame:
    """Lay an audit out for reading.

    Parameters
    ----------
    audit
        The audit of several seeds.

    Returns
    -------
    One row per way to replace features, that with the perturbations' own features first.
    """
    effects = audit.effects.assign(is_lost=audit.effects["lower"] > 0)
    groups = effects.groupby(["ablation", "how"], sort=False)
    table = groups.agg(
        r2=("r2", "mean"),
        effect=("effect", "mean"),
        lower=("lower", "min"),
        upper=("upper", "max"),
        n_lost=("is_lost", "sum"),
        n_seeds=("seed", "nunique"),
    )
    share = table["n_lost"].astype(str) + " of " + table["n_seeds"].astype(str)
    rows = pd.DataFrame(
        {
            "R²": table["r2"],
            "R² lost": table["effect"],
            "lowest": table["lower"],
            "highest": table["upper"],
            "seeds with a sure loss": share,
        }
    ).set_axis([f"{ablation}, {how}" for ablation, how in table.index])
    own = pd.DataFrame({"R²": [audit.r2], "seeds with a sure loss": [""]}, index=[OWN])
    return pd.concat([own, rows])[rows.columns]

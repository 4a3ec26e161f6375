"""What the report of an evaluation says about the model: mechanism, own genes, sources of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from scgim import pl
from scgim.evaluation.report._csv import write_csv
from scgim.evaluation.report._report import ReportTable, ReportText

if TYPE_CHECKING:
    from scgim.evaluation.report._artifacts import OutputFolder
    from scgim.model import GIM

SHARES = "How much of each effect is mechanism?"
SHARES_NOTE = (
    "Share of each measured effect, less its noise, that programs explain through the graph, that direct "
    "effects on genes add, and that is left. Mechanism claims rest on the first. A large direct share over "
    "many genes says that a program is missing."
)
OWN_GENES = "Do perturbations that are named after a gene hit that gene?"
OWN_GENES_NOTE = (
    "Rank of the gene with the perturbation's own name among all measured genes by its direct effect, in "
    "the direction that was given at set-up."
)
SOURCES = "What do predictions of unseen perturbations rest on?"
SOURCES_NOTE = (
    "Weights were earned on perturbations that were left out; what is missing to one is drawn to no effect. "
    "left_out_r2 is the share of their measured effects that the source alone predicts."
)
MAX_ROWS = 40


@dataclass(frozen=True)
class MechanismFindings:
    """What a trained model says of itself.

    Attributes
    ----------
    shares
        Table of ``GIM.get_mechanism_share``; empty where there is none.
    own_genes
        ``gene`` (the index), ``rank`` and ``effect`` of perturbations named after a measured gene.
    sources
        Table of ``GIM.get_prediction_sources`` for the held-out perturbations that were not run.
    """

    shares: pd.DataFrame
    own_genes: pd.DataFrame
    sources: pd.DataFrame


def find_mechanisms(model: GIM, held_out: list[str]) -> MechanismFindings:
    """Ask a trained model what its predictions and explanations rest on.

    Parameters
    ----------
    model
        The model.
    held_out
        Perturbations that were held out.

    Returns
    -------
    What it says.
    """
    shares, own_genes = pd.DataFrame(), pd.DataFrame()
    if model.fitted.has_direct_effects:
        shares = model.get_mechanism_share()
        own_genes = rank_own_genes(model.get_intervention_targets(level="genes"))
    unseen = [
        part
        for label in dict.fromkeys(held_out)
        for part in model.screen.table.parts_of(label)
        if not model.screen.is_seen(part)
    ]
    sources = pd.DataFrame()
    if unseen and model.has_generator:
        sources = model.get_prediction_sources(list(dict.fromkeys(unseen)))
    return MechanismFindings(shares, own_genes, sources)


def rank_own_genes(targets: pd.DataFrame) -> pd.DataFrame:
    """Find at which rank the gene comes that a perturbation is named after.

    Parameters
    ----------
    targets
        Table of ``GIM.get_intervention_targets(level="genes")``.

    Returns
    -------
    ``rank`` (1 is first), ``effect`` and ``is_target``, a row per such perturbation.
    """
    rank = targets.groupby("perturbation")["evidence"].rank(ascending=False, method="min")
    own = targets["perturbation"].astype(str) == targets["gene"].astype(str)
    table = targets.assign(rank=rank.astype(int))[own].set_index("gene").rename_axis(None)
    return table[["rank", "effect", "is_target"]]


def add_mechanism(folder: OutputFolder, found: MechanismFindings) -> None:
    """Add what the model says of itself.

    Parameters
    ----------
    folder
        Where to add it.
    found
        What it says.
    """
    if len(found.shares):
        write_csv(found.shares, folder.path / "tables" / "mechanism_share.csv", index=False)
        most = found.shares.sort_values("mechanism", ascending=False, na_position="last")
        shown = most.head(MAX_ROWS)
        folder.add_figure(
            "mechanism_share",
            pl.mechanism_share(found.shares, perturbations=shown["perturbation"].tolist()),
            title=SHARES,
            description=_describe_shares(found.shares),
            note=SHARES_NOTE,
        )
    if len(found.own_genes):
        first = int((found.own_genes["rank"] == 1).sum())
        words = f"{first} of {len(found.own_genes)} come first. {OWN_GENES_NOTE}"
        table = found.own_genes.assign(
            rank=found.own_genes["rank"].astype(str),
            is_target=found.own_genes["is_target"].map({True: "yes", False: "no"}),
        )
        folder.add_table(ReportTable(OWN_GENES, table, note=words))
    if len(found.sources):
        write_csv(found.sources, folder.path / "tables" / "prediction_sources.csv", index=False)
        texts = found.sources.drop_duplicates("perturbation")
        common = texts["text"].value_counts()
        words = " ".join(
            f"{count} of {len(texts)}: {text}" for text, count in common.head(3).items()
        )
        folder.items.append(ReportText(SOURCES, f"{words} {SOURCES_NOTE}"))


def _describe_shares(shares: pd.DataFrame) -> str:
    measured = shares.dropna(subset=["mechanism"])
    if measured.empty:
        return f"None of {len(shares)} perturbations has an effect that is larger than its noise."
    mean = measured[["mechanism", "direct", "unexplained"]].mean()
    return (
        f"{len(measured)} of {len(shares)} perturbations have an effect that is larger than its noise. On "
        f"average programs explain {mean['mechanism']:.0%} of it, direct effects on genes add "
        f"{mean['direct']:.0%}, {mean['unexplained']:.0%} is left."
    )

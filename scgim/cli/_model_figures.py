"""The figures of a trained model that every report shows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim import pl

if TYPE_CHECKING:
    from scgim.evaluation.report._artifacts import OutputFolder
    from scgim.model import GIM

N_DOSES = 60
HELD_OUT_SCORE = "shift_r2_validation"
STRUCTURE_SCORE = "structure_score"
MAX_DRAWN_NODES = 40


def add_training(folder: OutputFolder, model: GIM) -> None:
    """Add the training curve.

    Parameters
    ----------
    folder
        Where to add it.
    model
        Trained model.
    """
    if STRUCTURE_SCORE in model.history:
        folder.add_figure(
            "search",
            pl.training_history(
                model.history, metrics=[STRUCTURE_SCORE], label="score (nats, lower is better)"
            ),
            title="Search of the causal graph",
            description="Line chart of the score at the end of each climb.",
            note=(
                "Each climb starts from another graph. The best score should be reached more than "
                "once; if it is not, search with more restarts."
            ),
        )
        return
    folder.add_figure(
        "training",
        pl.training_history(model.history, label="negative ELBO per cell"),
        title="Training",
        description="Line chart of the loss against the epoch, for training and held-out cells.",
        note=(
            "The loss should fall and level off; held-out cells far above the training cells mean "
            "overfitting."
        ),
    )
    if HELD_OUT_SCORE not in model.history:
        return
    folder.add_figure(
        "held_out_conditions",
        pl.training_history(model.history, metrics=[HELD_OUT_SCORE], label="R² of the mean shift"),
        title="Held-out conditions while training",
        description="Line chart of the score on conditions held out of the training, by epoch.",
        note=(
            "How much of the shift of conditions that were kept out of the training the model "
            "explains. It decides when training stops."
        ),
    )


def add_targets(
    folder: OutputFolder, targets: pd.DataFrame, truth: pd.DataFrame | None = None
) -> None:
    """Add the heat map of intervention targets.

    Parameters
    ----------
    folder
        Where to add it.
    targets
        Table of ``GIM.get_intervention_targets``.
    truth
        Known shifts to draw beside it.
    """
    beside = " Left: estimate. Right: truth, nodes in matching order." if truth is not None else ""
    n_targets, n_unsure = int(targets["is_target"].sum()), int(targets["ambiguous"].sum())
    unsure = (
        f"A ring marks {n_unsure} effects on which nearly as good bases of the nodes disagree."
        if n_unsure
        else "No nearly as good basis of the nodes disagrees on a target."
    )
    folder.add_figure(
        "targets",
        pl.intervention_targets(targets, truth=truth),
        title="Intervention targets",
        description=(
            f"Heat map of the effect of {targets['perturbation'].nunique()} perturbations on "
            f"{targets['node'].nunique()} nodes, with {n_targets} targets marked.{beside}"
        ),
        note=(
            f"Which nodes each perturbation hits directly, + raised and - lowered.{beside} {unsure}"
        ),
    )


def add_graph(folder: OutputFolder, adjacency: pd.DataFrame) -> None:
    """Add the causal graph.

    Parameters
    ----------
    folder
        Where to add it.
    adjacency
        Table of ``GIM.get_causal_graph``.
    """
    n_nodes = len(adjacency)
    strength = adjacency.abs().sum() + adjacency.abs().sum(axis=1)
    drawn = strength.nlargest(MAX_DRAWN_NODES).index
    adjacency = adjacency.loc[adjacency.index.isin(drawn), adjacency.columns.isin(drawn)]
    left_out = f", the {len(drawn)} best connected of {n_nodes}" if len(drawn) < n_nodes else ""
    edges = adjacency.stack()  # noqa: PD013 - a square table has nothing to melt
    strongest = edges[edges.abs() > 0.1 * edges.abs().max()] if edges.any() else edges[edges != 0]
    listed = ", ".join(
        f"{parent} to {child} ({weight:+.2f})" for (parent, child), weight in strongest.items()
    )
    folder.add_figure(
        "causal_graph",
        pl.causal_graph(adjacency),
        title="Causal graph",
        description=f"Directed acyclic graph over {len(adjacency)} nodes{left_out}. Edges: {listed or 'none'}.",
        note="Parents stand left of the nodes they move. Arrows raise, dashed lines with a bar lower.",
    )


def add_dose_response(
    folder: OutputFolder,
    response: pd.DataFrame,
    *,
    observed: pd.DataFrame | None = None,
    max_curves: int = 4,
) -> None:
    """Add dose-response curves.

    Parameters
    ----------
    folder
        Where to add them.
    response
        Table of ``GIM.get_dose_response``.
    observed
        Points to draw on the curves.
    max_curves
        Most curves to draw.
    """
    points = " Points: the truth." if observed is not None else ""
    folder.add_figure(
        "dose_response",
        pl.dose_response(response, observed=observed, max_curves=max_curves),
        title="Dose response",
        description=(
            "Curves of the effect on nodes against the dose, with intervals and the EC50 of "
            f"{', '.join(map(str, response['perturbation'].unique()[:4]))}.{points}"
        ),
        note=f"Effect of the perturbation on a node; diamonds mark the EC50.{points}",
    )


def add_programs(folder: OutputFolder, programs: pd.DataFrame) -> None:
    """Add the genes that each node moves most.

    Parameters
    ----------
    folder
        Where to add them.
    programs
        Table of ``GIM.get_gene_programs``.
    """
    top = programs.abs().idxmax()
    folder.add_figure(
        "gene_programs",
        pl.gene_programs(programs),
        title="Gene programs",
        description="Genes with the largest weights per node. First genes: "
        + ", ".join(f"{node}: {gene}" for node, gene in top.items())
        + ".",
        note="The genes that each node raises (▲) or lowers (▼) most.",
    )


def dose_grid(doses: pd.Series) -> list[float]:
    """Space doses evenly on a logarithmic scale over the measured range.

    Parameters
    ----------
    doses
        Measured doses; zeros are left out.

    Returns
    -------
    Doses in ascending order.
    """
    positive = doses.to_numpy(dtype=float)
    positive = positive[positive > 0]
    return np.geomspace(positive.min(), positive.max(), N_DOSES).tolist()

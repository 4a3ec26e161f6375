"""What a model learnt about a simulated screen, in the order and sign of the true nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.metrics import match_nodes

if TYPE_CHECKING:
    from anndata import AnnData

    from scgim.model import GIM


@dataclass(frozen=True)
class AlignedTables:
    """Tables of a model beside the truth; a basis of programs has no order and no sign of its own.

    Attributes
    ----------
    targets
        Table of ``GIM.get_intervention_targets``, matched nodes in order of the true ones.
    true_shifts
        Shift at saturating dose in control standard deviations of the node, drugs x true nodes.
    adjacency
        Estimated causal graph.
    response
        Table of ``GIM.get_dose_response``.
    true_response
        Effect at the measured doses, with the columns of ``response`` and its node names.
    """

    targets: pd.DataFrame
    true_shifts: pd.DataFrame
    adjacency: pd.DataFrame
    response: pd.DataFrame
    true_response: pd.DataFrame

    @classmethod
    def of(cls, model: GIM, adata: AnnData, drugs: list[str], doses: list[float]) -> AlignedTables:
        """Match the nodes by their values in the training cells and read the tables.

        Parameters
        ----------
        model
            Trained model.
        adata
            Its training cells, simulated, with the truth in ``uns``.
        drugs
            Drugs to tabulate, seen or not.
        doses
            Doses of the curves.

        Returns
        -------
        The tables.
        """
        known, nodes = adata.uns["truth"], adata.obsm["true_nodes"]
        matching = match_nodes(model.get_latent_representation(), nodes)
        graph = model.get_causal_graph()
        is_matched = matching.index >= 0
        names = graph.index[matching.index[is_matched]]
        signs = pd.Series(matching.sign[is_matched], index=names)
        is_control = (adata.obs["drug"] == "vehicle").to_numpy()
        shifts = known["shifts"] / nodes[is_control].std(axis=0)
        of_estimate = shifts.loc[:, is_matched].set_axis(names, axis=1)
        response = model.get_dose_response(doses=doses)
        ec50 = response.attrs.get("ec50", {})
        response = _align(response, signs)
        response.attrs["ec50"] = ec50
        return cls(
            targets=_align(model.get_intervention_targets(drugs), signs),
            true_shifts=shifts,
            adjacency=graph.loc[names, names] * np.outer(signs, signs),
            response=response,
            true_response=_true_response(of_estimate, known["log10_ec50"]["log10_ec50"], adata),
        )


def _align(table: pd.DataFrame, signs: pd.Series) -> pd.DataFrame:
    """Keep matched nodes in order of the true ones, and turn effects where the sign is turned."""
    table = table[table["node"].isin(signs.index)].copy()
    table.attrs = {}
    sign = table["node"].map(signs).to_numpy()
    turned = table[["effect", "lower", "upper"]].mul(sign, axis=0)
    table["effect"] = turned["effect"]
    table["lower"], table["upper"] = (
        np.where(sign > 0, turned[one], turned[other])
        for one, other in (("lower", "upper"), ("upper", "lower"))
    )
    order = {node: index for index, node in enumerate(signs.index)}
    return table.sort_values("node", key=lambda nodes: nodes.map(order), kind="stable")


def _true_response(shifts: pd.DataFrame, log10_ec50: pd.Series, adata: AnnData) -> pd.DataFrame:
    """Tabulate the true effect of each training drug on each node at the doses of the screen."""
    measured = adata.obs[["drug", "dose"]].drop_duplicates()
    measured = measured[measured["dose"] > 0].astype({"drug": str})
    dose = measured["dose"].to_numpy()
    strength = dose / (dose + 10.0 ** log10_ec50.loc[measured["drug"]].to_numpy())
    effect = shifts.loc[measured["drug"]].mul(strength, axis=0).reset_index(drop=True)
    effect = effect.assign(perturbation=measured["drug"].to_numpy(), dose=dose)
    return effect.melt(["perturbation", "dose"], var_name="node", value_name="effect")

"""Scores of what GIM says about mechanisms, against the truth of a simulated world."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from scgim.benchmark._figures import (
    DOSE_ZERO,
    EC50,
    FEATURE_USE,
    GAUGE_DRIFT,
    GRAPH_AP,
    MCC,
    SECONDS_AFTER,
    TARGET_AP,
)
from scgim.benchmark._world_scores import to_rows
from scgim.metrics import (
    NodeMatching,
    graph_average_precision,
    match_nodes,
    rank_correlation,
    target_average_precision,
)

if TYPE_CHECKING:
    from scgim.datasets import ProgramsWorld
    from scgim.evaluation._predictors import GIMPredictor
    from scgim.evaluation._training_screen import TrainingScreen

N_CELLS = 200


@dataclass(frozen=True)
class MechanismScores:
    """How well a trained GIM recovers targets, graph and potency.

    Attributes
    ----------
    gim
        A fitted GIM.
    world
        The simulated world.
    screen
        Its training cells, with the true nodes.
    """

    gim: GIMPredictor
    world: ProgramsWorld
    screen: TrainingScreen

    def rows(self) -> list[dict[str, object]]:
        """Compute all scores.

        Returns
        -------
        One row per metric and split: ``predictor``, ``split``, ``metric`` and ``value``.
        """
        by_metric = {
            TARGET_AP: self.target_average_precision(),
            GRAPH_AP: {"": self.graph_average_precision()},
            MCC: {"": self._matching.mean_correlation},
            GAUGE_DRIFT: {"": self.gauge_drift()},
            DOSE_ZERO: {"": self.dose_zero()},
            EC50: {"training": self.ec50_correlation()},
            FEATURE_USE: {"": self.feature_use()},
            SECONDS_AFTER: {"": self.gim.seconds_after_training},
        }
        return to_rows(self.gim.name, by_metric)

    def target_average_precision(self) -> dict[str, float]:
        """Compute the average precision of targets, after matching nodes.

        Returns
        -------
        Of training drugs, unseen drugs of known classes, and unseen sums of two classes.
        """
        targets = self.world.truth["targets"]
        split_of = self.world.held_out.drop_duplicates("drug").set_index("drug")["split"]
        seen = self._seen
        groups = {"training": seen} | {
            split: split_of.index[split_of == split].tolist()
            for split in ("unseen_drug", "unseen_sum")
        }
        return {
            split: target_average_precision(self._evidence(drugs), targets.loc[drugs].to_numpy())
            for split, drugs in groups.items()
            if drugs
        }

    def graph_average_precision(self) -> float:
        """Compute the average precision of edges, after matching nodes.

        Returns
        -------
        Average precision over ordered pairs of true nodes.
        """
        weight = self._matching.align_graph(self.gim.model.get_causal_graph().to_numpy())
        return graph_average_precision(weight, self.world.truth["adjacency"])

    def ec50_correlation(self) -> float:
        """Compute Spearman's correlation of EC50 of the training drugs with the truth.

        Returns
        -------
        Rank correlation.
        """
        seen = self._seen
        ec50 = self.gim.model.get_dose_response(seen).attrs["ec50"]
        estimated = np.array([ec50[drug]["ec50"] for drug in seen])
        true = self.world.truth["log10_ec50"].loc[seen, "log10_ec50"]
        return rank_correlation(estimated, true.to_numpy())

    def dose_zero(self) -> float:
        """Compare predictions at dose 0 with those of the control, seed by seed.

        Returns
        -------
        Largest absolute difference of a count; 0 is exact equality.
        """
        perturbation, dose = self.screen.keys.perturbation, self.screen.keys.dose
        drug, control = self._seen[0], self.screen.keys.control
        at_zero, unperturbed = (
            self.gim.model.predict(
                pd.DataFrame({perturbation: [name], dose: [0.0]}), n_cells=N_CELLS, seed=0
            ).X
            for name in (drug, control)
        )
        return float(abs(at_zero - unperturbed).max())

    def feature_use(self) -> float:
        """Ask how much of the variance between drugs the features explain.

        Returns
        -------
        Share between 0 and 1.
        """
        return float(self.gim.model.get_generator_report().feature_use)

    def gauge_drift(self) -> float:
        """Measure how much the change of basis moved predicted log-rates.

        Returns
        -------
        Largest absolute change.
        """
        return self.gim.gauge_drift

    @cached_property
    def _seen(self) -> list[str]:
        return self.world.training_conditions["drug"].unique().tolist()

    @cached_property
    def _matching(self) -> NodeMatching:
        estimated = self.gim.model.get_latent_representation()
        return match_nodes(estimated, self.screen.adata.obsm["true_nodes"])

    def _evidence(self, drugs: list[str]) -> np.ndarray:
        """Evidence per drug and true node."""
        nodes = self.gim.model.get_causal_graph().index
        table = self.gim.model.get_intervention_targets(drugs)
        evidence = table.pivot_table(index="perturbation", columns="node", values="evidence")
        return self._matching.align_columns(evidence.loc[drugs, nodes].to_numpy())

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import networkx as nx
import numpy as np
import pandas as pd
import torch

from scgim._validation import check_choice, check_is_trained
from scgim.model._conditions import prepare_conditions
from scgim.model._parts import ModelParts
from scgim.module import linear_loadings
from scgim.scm import Gauge, compute_total_effects, match_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence


TARGET_SHIFT = 0.75
EDGE_WEIGHT = 0.25
# A shift below this many noise standard deviations is misfit of the model, not a target.
NULL_SD = 0.25
TARGET_SD = 2.0
TARGET_SHARE = 0.15
N_DRAWS = 200
LOWER, UPPER = 0.1, 0.9
GraphKind = Literal["weight", "probability", "ambiguous"]


class InterpretationMixin(ModelParts):
    """What was learned: targets, dose response, causal graph, gene programs."""

    def get_intervention_targets(
        self,
        perturbations: Sequence[str] | None = None,
        features: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        r"""Which nodes does each perturbation target, and how strongly.

        A shift :math:`s` known with variance :math:`v` is compared under 'target',
        :math:`N(0, v + \tau_0^2 + \tau_1^2)`, and 'no target', :math:`N(0, v + \tau_0^2)`, with
        :math:`\tau_0 = 0.25`, :math:`\tau_1 = 2` noise standard deviations and a prior of 0.15.

        Parameters
        ----------
        perturbations
            Names, seen or not; all seen ones if not given. Those that were not run are predicted
            from their features.
        features
            Features of perturbations that are not in the registered table.

        Returns
        -------
        One row per perturbation and node: ``perturbation, node, probability, effect, lower,
        upper, evidence, is_target, ambiguous``. ``effect`` is the shift at saturating dose in
        control standard deviations of the node, with its 80 % interval; ``evidence`` is the
        squared standardised shift by which rows rank; ``is_target`` is a shift above 0.75 noise
        standard deviations with probability above one half; ``ambiguous`` marks calls on which
        equally good bases of the nodes disagree.

        Raises
        ------
        RuntimeError
            Before training.
        ValueError
            For an unknown perturbation without features.
        """
        check_is_trained(self, "get_intervention_targets")
        names = self._names(perturbations)
        shift, variance, draws = self._saturating_shifts(names, features)
        null = variance + NULL_SD**2
        log_odds = np.log(TARGET_SHARE / (1 - TARGET_SHARE)) + log_bayes_factor(shift, null)
        probability = 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
        is_target = (np.abs(shift) > TARGET_SHIFT) & (probability > 0.5)
        control_sd = self._control_sd()
        lower, upper = np.quantile(draws, [LOWER, UPPER], axis=0) / control_sd
        index = pd.MultiIndex.from_product([names, self.node_names_])
        return pd.DataFrame(
            {
                "perturbation": index.get_level_values(0),
                "node": index.get_level_values(1),
                "probability": probability.ravel(),
                "effect": (shift / control_sd).ravel(),
                "lower": lower.ravel(),
                "upper": upper.ravel(),
                "evidence": (shift**2 / null / 2).ravel(),
                "is_target": is_target.ravel(),
                "ambiguous": self._disagreement(shift).ravel(),
            }
        )

    def get_dose_response(
        self,
        perturbations: Sequence[str] | None = None,
        doses: Sequence[float] | None = None,
        features: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Shift of each node over the dose, with intervals, EC50 and Hill slope.

        Parameters
        ----------
        perturbations
            Names, seen or not; all seen ones if not given.
        doses
            Doses in the unit of training; 20 over the trained range if not given.
        features
            Features of perturbations that are not in the registered table.

        Returns
        -------
        One row per perturbation, node and dose: ``perturbation, node, dose, effect, lower,
        upper`` in control standard deviations of the node (80 % interval). ``.attrs["ec50"]`` maps
        each perturbation to ``ec50, lower, upper`` in the unit of the dose, ``.attrs["hill"]`` to
        its slope; both are empty for free dose responses.

        Raises
        ------
        RuntimeError
            Before training, or for a screen without doses.
        """
        check_is_trained(self, "get_dose_response")
        trained = self.screen.treated_doses
        if len(trained) == 0:
            message = (
                "This screen was registered without doses, so it has no dose response. Pass "
                "`dose_key` to `GIM.setup_anndata`."
            )
            raise RuntimeError(message)
        names = self._names(perturbations)
        grid = (
            np.geomspace(trained.min(), trained.max(), 20) if doses is None else np.asarray(doses)
        )
        conditions = pd.DataFrame(
            {
                self.screen.perturbation_key: np.repeat(names, len(grid)),
                self.screen.dose_key: np.tile(grid.astype(np.float64), len(names)),
            }
        )
        prepared = prepare_conditions(self, conditions, features)
        control_sd = self._control_sd()
        mean = prepared.shift() / control_sd
        draws = prepared.draw_shifts(N_DRAWS, np.random.default_rng(0))
        lower, upper = np.quantile(draws, [LOWER, UPPER], axis=0) / control_sd
        n_nodes = len(self.node_names_)
        response = pd.DataFrame(
            {
                "perturbation": np.repeat(conditions.iloc[:, 0].to_numpy(), n_nodes),
                "node": np.tile(self.node_names_, len(conditions)),
                "dose": np.repeat(conditions.iloc[:, 1].to_numpy(), n_nodes),
                "effect": mean.ravel(),
                "lower": lower.ravel(),
                "upper": upper.ravel(),
            }
        )
        response.attrs = self._potencies(names, features)
        return response

    def get_causal_graph(
        self, kind: GraphKind = "weight", *, as_networkx: bool = False
    ) -> pd.DataFrame | nx.DiGraph:
        """Causal graph of the unperturbed cell.

        Parameters
        ----------
        kind
            ``"weight"``: change of the child per unit of the parent, both in their noise standard
            deviations. ``"probability"``: share of the equally good bases and causal orders of
            the nodes in which the edge is above 0.25. ``"ambiguous"``: whether these disagree.
        as_networkx
            Return a :class:`networkx.DiGraph` with the edges that are not zero.

        Returns
        -------
        Square table, row = parent, column = child, nodes in causal order; or the graph.

        Raises
        ------
        RuntimeError
            Before training.
        """
        check_is_trained(self, "get_causal_graph")
        check_choice("kind", kind, ("weight", "probability", "ambiguous"))
        values = self.module.mechanism.adjacency.detach().cpu().numpy().astype(np.float64)
        if kind != "weight":
            values = self._edge_probability(values)
        table = (values > 0) & (values < 1) if kind == "ambiguous" else values
        graph = pd.DataFrame(table, index=self.node_names_, columns=self.node_names_)
        return nx.from_pandas_adjacency(graph, nx.DiGraph) if as_networkx else graph

    def get_gene_programs(self) -> pd.DataFrame:
        """Change of the log-rate of each gene per noise standard deviation of each node.

        For ``causal_space="latent"`` this is the least-squares linear map.

        Returns
        -------
        Genes x nodes; each column is relative to its median gene, since only ratios of rates are
        observed.
        """
        effects = compute_total_effects(self.module.mechanism.adjacency.detach().double().cpu())
        loadings = linear_loadings(self.module).cpu() @ torch.linalg.inv(effects).mT
        loadings = (loadings - loadings.quantile(0.5, dim=0)).numpy()
        return pd.DataFrame(loadings, index=pd.Index(self._gene_names()), columns=self.node_names_)

    def _names(self, perturbations: Sequence[str] | None) -> list[str]:
        if perturbations is None:
            return list(self.screen.table.perturbations)
        return (
            [perturbations] if isinstance(perturbations, str) else [str(p) for p in perturbations]
        )

    def _saturating_shifts(
        self, names: list[str], features: pd.DataFrame | None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Shift at saturating dose, its variance per node, and draws of it."""
        conditions = pd.DataFrame({self.screen.perturbation_key: names})
        if self.screen.dose_key is not None:
            conditions[self.screen.dose_key] = self.screen.treated_doses.max()
        prepared = prepare_conditions(self, conditions, features).at_saturation()
        draws = prepared.draw_shifts(N_DRAWS, np.random.default_rng(0))
        return prepared.shift(), draws.var(0), draws

    def _potencies(self, names: list[str], features: pd.DataFrame | None) -> dict[str, dict]:
        if self.module.interventions.anchors is not None:
            return {"ec50": {}, "hill": {}}
        conditions = pd.DataFrame(
            {
                self.screen.perturbation_key: names,
                self.screen.dose_key: self.screen.treated_doses.max(),
            }
        )
        prepared = prepare_conditions(self, conditions, features)
        mean, draws = prepared.log10_ec50(N_DRAWS, np.random.default_rng(0))
        lower, upper = np.quantile(draws, [LOWER, UPPER], axis=0)
        return {
            "ec50": {
                name: {"ec50": 10 ** mean[i], "lower": 10 ** lower[i], "upper": 10 ** upper[i]}
                for i, name in enumerate(prepared.names)
            },
            "hill": dict.fromkeys(prepared.names, self.interventions.hill),
        }

    def _control_sd(self) -> np.ndarray:
        """Compute the sd of each node in control cells, in its noise standard deviations."""
        effects = compute_total_effects(self.module.mechanism.adjacency.detach().double().cpu())
        return effects.norm(dim=0).numpy()

    def _near_ties(self) -> list[tuple[Gauge, np.ndarray, np.ndarray]]:
        """Other good bases, with the node that matches each of ours and its sign."""
        state = getattr(self, "gauge_", None)
        if state is None:
            return []
        ours = Gauge(torch.as_tensor(state["directions"]), 0.0)
        ties = [Gauge(torch.as_tensor(directions), 0.0) for directions in state["near_ties"]]
        matches = [match_nodes(ours, tie) for tie in ties]
        return [
            (tie, index.numpy(), sign.numpy())
            for tie, (index, sign) in zip(ties, matches, strict=True)
        ]

    def _disagreement(self, shift: np.ndarray) -> np.ndarray:
        """Whether another good basis calls a target differently, shape of ``shift``."""
        disagrees = np.zeros(shift.shape, bool)
        for tie, index, _ in self._near_ties():
            other = np.abs(shift @ tie.noise_rotation.numpy())[:, index] > TARGET_SHIFT
            disagrees |= other != (np.abs(shift) > TARGET_SHIFT)
        return disagrees

    def _edge_probability(self, weights: np.ndarray) -> np.ndarray:
        calls = [np.abs(weights) > EDGE_WEIGHT]
        for tie, index, _ in self._near_ties():
            calls.append(np.abs(tie.adjacency.numpy())[np.ix_(index, index)] > EDGE_WEIGHT)
        return np.mean(calls, axis=0)


def log_bayes_factor(shift: np.ndarray, null_variance: np.ndarray) -> np.ndarray:
    """Log evidence for a target over none, in nats.

    Parameters
    ----------
    shift
        Estimated shifts, in noise standard deviations.
    null_variance
        Their variance if there is no target, same shape.

    Returns
    -------
    Same shape.
    """
    total = null_variance + TARGET_SD**2
    return 0.5 * (np.log(null_variance / total) + shift**2 * (1 / null_variance - 1 / total))

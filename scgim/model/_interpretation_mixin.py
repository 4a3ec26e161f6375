from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

import networkx as nx
import numpy as np
import pandas as pd

from scgim._messages import check_choice
from scgim.model._checks import check_is_trained, check_were_run
from scgim.model._conditions import prepare_conditions
from scgim.model._parts import ModelParts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scgim.spaces._conditions import Conditions


TARGET_KEYS = ["perturbation", "node"]
TARGET_COLUMNS = [
    *TARGET_KEYS,
    "probability",
    "effect",
    "lower",
    "upper",
    "evidence",
    "is_target",
    "ambiguous",
]
N_DRAWS = 200
LOWER, UPPER = 0.1, 0.9
GraphKind = Literal["weight", "probability", "ambiguous"]
TargetLevel = Literal["nodes", "genes"]


class InterpretationMixin(ModelParts):
    """What was learned: targets, dose response, causal graph, gene programs."""

    def get_intervention_targets(
        self,
        perturbations: Sequence[str] | None = None,
        features: pd.DataFrame | None = None,
        *,
        level: TargetLevel = "nodes",
    ) -> pd.DataFrame:
        r"""Which nodes, or which genes beside them, does each perturbation target, and how strongly.

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
        level
            ``"nodes"`` for the nodes of the causal graph. ``"genes"`` for genes as leaves of it: what
            a perturbation that was run does to a gene beyond what its programs (or latent factors)
            explain, as a knock-out does to its own gene.

        Returns
        -------
        For ``level="genes"`` one row per perturbation and gene: ``perturbation, gene, effect, lower,
        upper, false_sign_rate, evidence, share, is_target``. ``effect`` is the natural log of the
        factor on the gene's rate at full strength (a difference for the normal likelihood), with its
        80 % interval; ``false_sign_rate`` the local false sign rate (:cite:p:`stephens2017`);
        ``evidence`` the same effect as a shrunk mean shift of expression, in the direction of the
        perturbation where ``perturbation_direction`` was given at set-up, and its size where not: rows
        rank by it; ``share`` the part of the squared evidence of the perturbation that the gene holds;
        ``is_target`` is a false sign rate of at most 0.1 with more than half of it.

        For ``level="nodes"`` one row per perturbation and node: ``perturbation, node, probability, effect, lower,
        upper, evidence, is_target, ambiguous``. ``effect`` is the shift at saturating dose in
        control standard deviations of the node, with its 80 % interval; ``evidence`` is the
        squared standardised shift by which rows rank; ``is_target`` is a shift above 0.75 noise
        standard deviations with probability above one half; ``ambiguous`` marks calls on which
        equally good bases of the nodes disagree.

        For ``causal_space="genes"`` the targets are those that the search found: ``probability`` is
        averaged over graphs that explain the screen about as well, ``effect`` is the value that a
        set gene takes, ``ambiguous`` marks probabilities between 0.1 and 0.9, and three columns
        follow: ``kind`` (what is done to a target, ``"shift"``, ``"hard"`` or ``"scale"``),
        ``marginal`` (did the gene move, in standard errors) and ``residual`` (did it move by more
        than the other genes explain). ``evidence`` is in nats; for counts it is the smaller of the
        two scores where genes demonstrably explain each other's shifts on held-out cells, and
        otherwise the marginal one. Where ``perturbation_direction`` of :meth:`setup_anndata` says
        that a perturbation lowers or raises its targets, ``evidence`` of genes that moved the other
        way is negative; where it is unknown, genes rank by how far they moved either way. Scores
        that are calibrated on control cells speak of "no effect" only, never of "an effect, but not
        the target". For counts ``is_target`` therefore marks genes whose evidence stands out from
        what the same perturbation moves besides, at a false discovery rate of 0.1 over the
        perturbations, and ``probability`` is one minus that rate; a gene that ranks behind one that
        does not stand out is no target, and two targets with alike evidence hide each other.
        Predictions rest on the targets of the search, which ``effect`` shows.

        Raises
        ------
        RuntimeError
            Before training.
        ValueError
            For an unknown perturbation without features.
        """
        check_is_trained(self, "get_intervention_targets")
        check_choice("level", level, get_args(TargetLevel))
        names = self._names(perturbations)
        if level == "genes":
            check_were_run(names, self.screen.table.perturbations)
            genes = {name: v.ravel() for name, v in self.fitted.call_gene_targets(names).items()}
            index = pd.MultiIndex.from_product(
                [names, self._gene_names()], names=["perturbation", "gene"]
            )
            return pd.DataFrame(genes, index=index).reset_index()
        saturated = self._saturated(names, features)
        columns = self._effects(saturated)
        columns |= {name: v.ravel() for name, v in self.fitted.call_targets(saturated).items()}
        index = pd.MultiIndex.from_product([names, self.node_names_], names=TARGET_KEYS)
        table = pd.DataFrame(columns, index=index).reset_index()
        extra = [name for name in table if name not in TARGET_COLUMNS]
        return table[[*TARGET_COLUMNS, *extra]]

    def get_mechanism_share(self) -> pd.DataFrame:
        """How much of each measured effect is mechanism: programs, direct effects, and what is left.

        An intervention moves programs, which the graph spreads, and hits single genes. This divides
        the measured effect of every perturbation, less its sampling noise, into what the first
        explains, what the second adds, and what neither does.

        Returns
        -------
        One row per perturbation: ``perturbation``, the shares ``mechanism, direct, unexplained``, which
        sum to one, and their 80 % intervals over genes (``mechanism_lower, mechanism_upper, ...``).
        NaN where no effect was measured that is larger than noise.

        Raises
        ------
        RuntimeError
            Before training, and for a model without direct effects.
        ValueError
            For ``causal_space="genes"``, where all effects are mechanism by construction.

        See Also
        --------
        scgim.pl.mechanism_share : Draws it.
        """
        check_is_trained(self, "get_mechanism_share")
        return self.fitted.mechanism_share()

    def get_prediction_sources(
        self,
        perturbations: Sequence[str] | None = None,
        features: pd.DataFrame | None = None,
    ) -> pd.DataFrame:
        """Say what the predictions of perturbations rest on, with weights that were earned.

        Parameters
        ----------
        perturbations
            Names, seen or not; all that have features but were not run if not given.
        features
            Features of perturbations that are not in the registered table.

        Returns
        -------
        One row per perturbation and source: ``perturbation, source, weight, left_out_r2, nearest,
        text``. ``weight`` is how often the source counts in the mean shift; what is missing to one is
        drawn to no effect. ``left_out_r2`` is the share of the measured effects that the source alone
        predicts of perturbations that were left out; below 0 it is worse than no effect. ``nearest``
        names the most similar perturbations that were run, and ``text`` says all of it in a sentence.

        Raises
        ------
        RuntimeError
            Before training, and for unseen perturbations without a generator.
        ValueError
            For an unknown perturbation without features.
        """
        check_is_trained(self, "get_prediction_sources")
        if perturbations is None:
            table = self.screen.table
            registered = [] if table.features is None else list(table.features.index)
            given = [] if features is None else list(features.index)
            perturbations = [n for n in [*registered, *given] if n not in table.perturbations]
        names = self._names(perturbations)
        return self.fitted.prediction_sources(names, features)

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
        its slope; both are empty for free dose responses. Intervals of the EC50 take slope and
        programs as known, and are too narrow for it: on six simulated screens those of 80 % held
        the true EC50 in 63 % of cases.

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
        n_nodes = len(self.node_names_)
        response = pd.DataFrame(
            {
                "perturbation": np.repeat(conditions.iloc[:, 0].to_numpy(), n_nodes),
                "node": np.tile(self.node_names_, len(conditions)),
                "dose": np.repeat(conditions.iloc[:, 1].to_numpy(), n_nodes),
                **self._effects(prepared),
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
        values = {
            "weight": self.fitted.edge_weights,
            "probability": self.fitted.edge_probability,
            "ambiguous": self.fitted.edge_ambiguity,
        }[kind]()
        graph = pd.DataFrame(values, index=self.node_names_, columns=self.node_names_)
        return nx.from_pandas_adjacency(graph, nx.DiGraph) if as_networkx else graph

    def get_gene_programs(self) -> pd.DataFrame:
        """Change of the log-rate of each gene per noise standard deviation of each node.

        For ``causal_space="latent"`` this is the least-squares linear map.

        Returns
        -------
        Genes x nodes; each column is relative to its median gene, since only ratios of rates are
        observed.
        """
        programs = self.fitted.gene_programs()
        return pd.DataFrame(programs, index=pd.Index(self._gene_names()), columns=self.node_names_)

    def _names(self, perturbations: Sequence[str] | None) -> list[str]:
        if perturbations is None:
            return list(self.screen.table.perturbations)
        return (
            [perturbations] if isinstance(perturbations, str) else [str(p) for p in perturbations]
        )

    def _saturated(self, names: list[str], features: pd.DataFrame | None) -> Conditions:
        """Perturbations at saturating dose."""
        conditions = pd.DataFrame({self.screen.perturbation_key: names})
        if self.screen.dose_key is not None:
            conditions[self.screen.dose_key] = self.screen.treated_doses.max()
        return prepare_conditions(self, conditions, features).at_saturation()

    def _effects(self, conditions: Conditions) -> dict[str, np.ndarray]:
        """Shifts with their interval, in control standard deviations of the nodes."""
        control_sd = self.fitted.control_sd()
        draws = conditions.draw(N_DRAWS, np.random.default_rng(0)).shift.numpy()
        lower, upper = np.quantile(draws, [LOWER, UPPER], axis=0) / control_sd
        effect = conditions.intervention().shift.numpy() / control_sd
        return {"effect": effect.ravel(), "lower": lower.ravel(), "upper": upper.ravel()}

    def _potencies(self, names: list[str], features: pd.DataFrame | None) -> dict[str, dict]:
        prepared = self._saturated(names, features)
        distribution = prepared.distribution
        if np.isnan(distribution.hill).any():
            return {"ec50": {}, "hill": {}}
        draws = distribution.sample_log10_ec50(N_DRAWS, np.random.default_rng(0))
        lower, upper = np.quantile(draws, [LOWER, UPPER], axis=0)
        return {
            "ec50": {
                name: {
                    "ec50": 10 ** distribution.log10_ec50[i],
                    "lower": 10 ** lower[i],
                    "upper": 10 ** upper[i],
                }
                for i, name in enumerate(prepared.names)
            },
            "hill": dict(zip(prepared.names, distribution.hill.tolist(), strict=True)),
        }

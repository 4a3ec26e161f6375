from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from anndata import AnnData
from scvi import REGISTRY_KEYS as SCVI_KEYS
from torch import Tensor

from scgim._messages import check_choice
from scgim.model._applicability import is_new_in_context, why_abstain
from scgim.model._checks import (
    check_context_has_cells,
    check_do,
    check_do_context,
    check_do_genes,
    check_do_kind,
    check_is_trained,
    check_something_is_left,
)
from scgim.model._condition_gate import (
    NO_GIVEN_CELL,
    check_base_cells,
    context_columns,
    context_of_cells,
    match_cells,
    warn_unmatched,
)
from scgim.model._conditions import ConditionsLike, prepare_conditions
from scgim.model._parts import ModelParts
from scgim.module import ExpectedExpression
from scgim.scm import Intervention, scale_node, set_node, shift_node, shift_nodes
from scgim.spaces._calibration import N_CELLS, N_DRAWS, QUANTILE_LEVELS, widen
from scgim.spaces._global_state import keep_random_state
from scgim.spaces._population import Population

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from scgim.spaces._conditions import Conditions
    from scgim.spaces._training_statistics import TrainingStatistics


Output = Literal["counts", "normalized", "nodes"]
DoKind = Literal["shift", "set", "scale"]
DO_KINDS: dict[str, Callable[[float], Intervention]] = {
    "shift": shift_node,
    "set": set_node,
    "scale": scale_node,
}
BLOCK = 8192
N_SHIFT_CELLS = 512
DEFAULT_LEVEL = 0.8


class PredictionMixin(ModelParts):
    """Cells and mean shifts under perturbations, seen or not, and under given interventions."""

    @keep_random_state
    def predict(  # noqa: PLR0913 - what a prediction may depend on
        self,
        conditions: ConditionsLike,
        *,
        n_cells: int = 500,
        adata: AnnData | None = None,
        features: pd.DataFrame | None = None,
        output: Output = "counts",
        abstain: bool = False,
        ignore: Sequence[str] | str = (),
        allow_perturbed: bool = False,
        seed: int | None = None,
    ) -> AnnData:
        """Predict cells under perturbations, doses and combinations, seen or not.

        Without ``adata`` new cells are drawn from the intervened causal model. With it each given
        control cell is predicted as it would have been: its noise is abducted, the shift added
        and pushed through the graph.

        What an unseen perturbation does is known from its features only up to a distribution over
        interventions. Each new cell gets an intervention drawn from it, so that the cells spread as
        widely as the prediction is uncertain. Given control cells, and perturbations seen in
        training, get the mean intervention. Where nodes are programs or latent factors, the mean
        starts from what other perturbations do at the dose, and features move it from there
        (:meth:`get_prediction_sources` says how far); what the nodes do not do of it is a direct
        effect on genes. A perturbation that is unlike every seen one and every sum of known
        mechanisms moves no node, with a warning.

        Parameters
        ----------
        conditions
            One row per condition: a DataFrame with the columns named at set-up (perturbation,
            dose, and batch or covariates where they matter), or a list of
            ``(perturbation, dose)``, or of perturbations for a screen without doses. Other columns
            are refused, since they would change nothing; see ``ignore``. A batch or covariate that
            is left out, or missing in a row, is that of a control cell drawn at random.
        n_cells
            Cells per condition, without ``adata``.
        adata
            Control cells to predict one by one, with the genes and the kind of expression of
            training. Each condition is predicted for those that have its batch and covariates, or
            for all where it names none; conditions without any are left out with a warning.
        features
            Features of perturbations that are not in the registered table, one row each.
        output
            ``"counts"`` (sampled), ``"normalized"`` (expected, to 10,000 per cell) or ``"nodes"``.
            With the normal likelihood counts and normalized are in the space of the data.
        abstain
            Leave out conditions that training does not cover: features far from all seen
            perturbations, a dose outside those that were run, or a combination of batch and
            covariates without control cells. They are listed, with the reason, in
            ``uns["scgim"]["abstained"]``. A perturbation that was run, but never in a context that
            others were, is predicted: that its intervention carries over is what the model
            assumes. ``is_new_in_context`` marks it.
        ignore
            Columns of ``conditions`` that the model does not use and that are to be carried along
            in ``obs`` without effect, such as the number of a well.
        allow_perturbed
            Accept cells in ``adata`` that are perturbed themselves; the predicted effect then comes
            on top of theirs, and ``obs["base_perturbation"]`` says which.
        seed
            Makes the prediction repeatable.

        Returns
        -------
        Predicted cells x genes (or nodes). ``obs`` has the columns of ``conditions``, the batch and
        the covariates of the control cell that each cell comes from and, for each
        cell, ``is_seen`` (perturbation was in training), ``is_dose_extrapolated``,
        ``feature_distance`` (to the nearest seen perturbation; above 1 is far),
        ``feature_similarity`` (1 is identical; Tanimoto for fingerprints), that
        ``nearest_perturbation``, ``is_new_context`` (no control cell of training has this batch
        and these covariates), and ``is_new_in_context`` (a perturbation was run, but in no cell of
        training with this batch and these covariates). ``uns["scgim"]["space"]`` names the space.
        For a model of RNA and protein, ``obsm["protein"]`` has the proteins of the same cells (their
        expected values for ``"normalized"``).

        Raises
        ------
        RuntimeError
            Before training, or for unseen perturbations without a generator.
        ValueError
            Unknown perturbation without features, unknown batch, negative dose, a column that the
            model does not use, a context without control cells, given cells that are not control
            cells or have other genes or another kind of expression, or nothing left to predict.
        """
        check_is_trained(self, "predict")
        prepared = self._prepare(conditions, features, ignore)
        described = prepared.obs
        reasons = why_abstain(described)
        if not abstain:
            reasons[:] = ""
        if adata is not None:
            self._check_base_cells(adata, allow_perturbed=allow_perturbed)
            has_cells = match_cells(described, adata.obs, self.screen).any(1).astype(bool)
            warn_unmatched(described, has_cells, self.screen)
            reasons[~has_cells & (reasons == "").to_numpy()] = NO_GIVEN_CELL
        if (reasons != "").any():
            check_something_is_left(reasons.tolist())
            conditions = _as_asked(described)[reasons == ""]
            prepared = self._prepare(conditions, features, ignore)
        n_each = n_cells if adata is None else adata.n_obs
        rng = None if adata is not None else np.random.default_rng(seed).spawn(1)[0]
        predicted = self._predict_cells(
            prepared.obs,
            prepared.of_cells(n_each, rng),
            adata,
            output,
            seed,
            gene_shift=self.fitted.gene_shift(prepared),
        )
        if abstain or (reasons != "").any():
            left_out = _as_asked(described)[reasons != ""].assign(reason=reasons[reasons != ""])
            predicted.uns["scgim"]["abstained"] = _text_index(left_out)
        return predicted

    @keep_random_state
    def do(
        self,
        shifts: Mapping[str, float | Intervention],
        *,
        kind: DoKind = "shift",
        n_cells: int = 500,
        adata: AnnData | None = None,
        context: Mapping[str, object] | None = None,
        output: Output = "counts",
        allow_perturbed: bool = False,
        seed: int | None = None,
    ) -> AnnData:
        """Predict cells under an intervention given by hand.

        Parameters
        ----------
        shifts
            What is done to each named node: a number, whose meaning is ``kind``, or an
            intervention on one node (:func:`scgim.scm.shift_node`, :func:`~scgim.scm.set_node`,
            :func:`~scgim.scm.scale_node` or one of your own). Where nodes are programs or latent
            factors, a gene's name is a key, too: genes are leaves of the graph, and the number is
            added to the natural log of the gene's rate (to its mean for the normal likelihood).
        kind
            Meaning of plain numbers: ``"shift"`` moves the mechanism and keeps its edges,
            ``"set"`` clamps the node to a value and cuts its parents, ``"scale"`` multiplies its
            noise. Shifts and values are in node units: control standard deviations of a named
            gene, noise standard deviations of a program or latent factor.
        n_cells
            Cells to draw, without ``adata``.
        adata
            Control cells to predict one by one.
        context
            Batch and categorical covariates of the cells, by their columns; cells of all contexts if
            not given. Not with ``adata``, whose cells have theirs.
        output
            As for :meth:`predict`.
        allow_perturbed
            As for :meth:`predict`.
        seed
            Makes the prediction repeatable.

        Returns
        -------
        As :meth:`predict`. With the shifts of a drug at a dose, the same cells as
        :meth:`predict` gives for it.

        Raises
        ------
        RuntimeError
            Before training.
        ValueError
            For a name that is neither a node nor a measured gene, a number that is not finite,
            anything but a shift of a gene that is no node, or a context that the model does not know
            or has no control cells of; given cells as for :meth:`predict`.

        Examples
        --------
        >>> model.do({"STAT1": -2.0})  # doctest: +SKIP
        >>> model.do({"STAT1": scgim.scm.set_node(0.0), "JAK2": 1.5})  # doctest: +SKIP
        >>> model.do({"program_3": 1.0, "STAT1": -0.7})  # a model of programs  # doctest: +SKIP
        >>> model.do({"STAT1": -2.0}, context={"cell_line": "K562"})  # doctest: +SKIP
        """
        check_is_trained(self, "do")
        gene_names = self._gene_names() if self.fitted.acts_on_genes else []
        check_do(shifts, self.node_names_, gene_names)
        genes = {name: value for name, value in shifts.items() if name not in self.node_names_}
        check_do_genes(genes, kind)
        numbers = [v for v in shifts.values() if not isinstance(v, Intervention)]
        check_do_kind(kind, numbers)
        intervention = shift_nodes(torch.zeros(len(self.node_names_)))
        gene_shift = torch.zeros(1, len(gene_names))
        for name, value in shifts.items():
            if name in genes:
                gene_shift[0, gene_names.index(name)] = float(cast("float", value))
                continue
            single = value if isinstance(value, Intervention) else DO_KINDS[kind](value)
            intervention = intervention.at_node(self.node_names_.index(name), single)
        place = check_do_context(context, self.screen, has_cells=adata is not None)
        if adata is not None:
            self._check_base_cells(adata, allow_perturbed=allow_perturbed)
        table = pd.DataFrame({"intervention": [describe_do(shifts, kind)], **place})
        n_each = n_cells if adata is None else adata.n_obs
        of_cells = intervention.map(lambda values: values.expand(1, n_each, -1))
        direct = gene_shift if genes else None
        return self._predict_cells(table, of_cells, adata, output, seed, direct)

    @keep_random_state
    def predict_shift(
        self,
        conditions: ConditionsLike,
        *,
        level: float = DEFAULT_LEVEL,
        features: pd.DataFrame | None = None,
        ignore: Sequence[str] | str = (),
        seed: int = 0,
    ) -> AnnData:
        """Predict the mean shift of expression with an interval, without sampling noise.

        Parameters
        ----------
        conditions
            As for :meth:`predict`.
        level
            Probability with which the interval should hold the true mean shift of a gene.
        features
            As for :meth:`predict`.
        ignore
            As for :meth:`predict`.
        seed
            Seed of the draws from the distribution over interventions.

        Returns
        -------
        Conditions x genes: mean log1p(CP10k) minus that of the control (of the space of the data
        for the normal likelihood) in ``X``, averaged over the distribution over interventions,
        ``layers["lower"]`` and ``layers["upper"]``; ``obs`` as for :meth:`predict`. Where a
        condition names a batch or a covariate, the mean is over control cells that have it, or
        over all where ``is_new_context`` says that there are none; ``uns["scgim"]["averaged_over"]``
        names the columns that no condition has. The width of the interval is that over all control
        cells.

        Raises
        ------
        RuntimeError
            Before training, or for unseen perturbations without a generator.
        ValueError
            As for :meth:`predict`.
        """
        check_is_trained(self, "predict_shift")
        prepared = self._prepare(conditions, features, ignore)
        mean = self._mean_shift(prepared)
        variance, curvature = self._spread(prepared, seed)
        mean[prepared.is_uncertain] += curvature[prepared.is_uncertain]
        half_width = self._half_width(prepared, variance, level)
        return AnnData(
            X=mean,
            obs=_text_index(prepared.obs),
            var=pd.DataFrame(index=self._gene_names()),
            layers={"lower": mean - half_width, "upper": mean + half_width},
            uns={
                "scgim": {
                    "space": "mean shift of log1p(CP10k)",
                    "level": level,
                    "averaged_over": [
                        key for key in context_columns(self.screen) if key not in prepared.obs
                    ],
                }
            },
        )

    def _mean_shift(self, prepared: Conditions) -> np.ndarray:
        """Mean shift of each condition over the control cells of its context."""
        statistics = self.fitted.statistics
        intervention = prepared.intervention()
        gene_shift = self.fitted.gene_shift(prepared)
        members = self._members(prepared.obs, statistics)
        contexts, index = np.unique(np.array(members), axis=0, return_inverse=True)
        mean = np.zeros((len(index), len(self._gene_names())), np.float32)
        for context, is_member in enumerate(contexts):
            rows = np.flatnonzero(index.ravel() == context)
            population = Population(
                self.module,
                statistics,
                n_cells=N_SHIFT_CELLS,
                is_member=is_member if is_member.any() else None,
            )
            direct = None if gene_shift is None else gene_shift[rows]
            mean[rows] = population.mean_shift(intervention[torch.as_tensor(rows)], direct).numpy()
        return mean

    def _spread(self, prepared: Conditions, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Variance and curvature of the mean shift over interventions, conditions x genes each."""
        rng = np.random.default_rng(seed)
        draws = prepared.draw(N_DRAWS, rng)
        draws = self.fitted.blur(draws, prepared.intervention(), rng)
        statistics = self.fitted.statistics
        population = Population(self.module, statistics, n_cells=N_CELLS, seed=1)
        moved, curvature = population.spread(draws)
        return moved.var(0), curvature

    def _half_width(self, prepared: Conditions, variance: np.ndarray, level: float) -> np.ndarray:
        """Half-width of the interval of each condition and gene."""
        is_seen, is_unknown = prepared.obs.is_seen.to_numpy(), prepared.is_unknown
        seen, unseen = self.fitted.calibration["seen"], self.fitted.calibration["unseen"]
        half_width = np.zeros_like(variance)
        for chosen, calibration in (
            (is_seen, seen),
            (~is_seen & ~is_unknown, unseen),
            # Left-out perturbations had relatives, so their errors must not narrow these intervals.
            (is_unknown, widen(unseen)),
        ):
            z = np.interp(level, QUANTILE_LEVELS, calibration["quantiles"])
            floor = calibration["floor"] * prepared.condition_n_summands[chosen, None]
            half_width[chosen] = z * np.sqrt(calibration["scale"] * variance[chosen] + floor)
        return half_width

    def _predict_cells(
        self,
        obs: pd.DataFrame,
        intervention: Intervention,
        adata: AnnData | None,
        output: Output,
        seed: int | None,
        gene_shift: Tensor | None = None,
    ) -> AnnData:
        """Draw cells under given interventions, ``(n_conditions, n_cells, n_nodes)``.

        ``gene_shift`` is what each does to the genes themselves, ``(n_conditions, n_genes)``.
        """
        check_choice("output", output, ("counts", "normalized", "nodes"))
        rng = np.random.default_rng(seed)
        n_cells = intervention.shift.shape[1]
        if adata is None:
            base = self._base_population(obs, n_cells, rng)
            cell = np.arange(n_cells * len(obs))
        else:
            base = self._base_cells(adata)
            cell = np.tile(np.arange(n_cells), len(obs))
        condition = np.repeat(np.arange(len(obs)), n_cells)
        intervention = intervention.map(lambda values: values.reshape(len(cell), -1))
        if adata is not None:
            chosen = np.flatnonzero(match_cells(obs, adata.obs, self.screen).ravel())
            cell, condition = cell[chosen], condition[chosen]
            intervention = intervention[torch.as_tensor(chosen)]
        blocks = [
            self._sample_block(
                base,
                cell[block],
                intervention[block],
                output,
                rng,
                None if gene_shift is None else gene_shift[condition[block]],
            )
            for block in np.array_split(np.arange(len(cell)), len(cell) // BLOCK + 1)
        ]
        is_sparse = sp.issparse(blocks[0])
        stacked = sp.vstack(blocks, format="csr") if is_sparse else np.concatenate(blocks)
        obs = obs.iloc[condition].reset_index(drop=True)
        obs = obs.assign(**context_of_cells(base, cell, self.screen))
        if adata is not None:
            obs = obs.assign(**self._describe_base(adata, cell))
        names = self.node_names_ if output == "nodes" else self._gene_names()
        obs = _text_index(obs)
        obsm = {}
        if self.protein_names and output != "nodes":
            nodes, covariates, _ = self._intervene(base, cell, intervention)
            proteins = self._predict_proteins(nodes, covariates, output, int(rng.integers(2**31)))
            obsm["protein"] = pd.DataFrame(proteins, obs.index, self.protein_names)
        return AnnData(
            X=stacked,
            obs=obs,
            var=pd.DataFrame(index=pd.Index(names)),
            obsm=obsm,
            uns={"scgim": {"space": output, "model": "GIM"}},
        )

    def _expect_cells(
        self,
        adata: AnnData,
        condition: np.ndarray,
        intervention: Intervention,
        gene_shift: Tensor | None,
    ) -> np.ndarray:
        """Predict log1p(CP10k) of new cells with the covariates of given ones, cells x genes.

        Each cell is under the condition of its number.
        """
        base = self._base_cells(adata)
        rng = np.random.default_rng(0)
        base["noise"] = as_tensor(rng.standard_normal(base["noise"].shape))
        expected = ExpectedExpression(self.module, base["library"])
        blocks = []
        for block in np.array_split(np.arange(adata.n_obs), adata.n_obs // BLOCK + 1):
            of_cells = condition[block]
            nodes, covariates, _ = self._intervene(base, block, intervention[of_cells])
            direct = None if gene_shift is None else gene_shift[of_cells]
            blocks.append(expected(nodes, covariates, direct).cpu().numpy())
        return np.concatenate(blocks)

    def _base_population(
        self, table: pd.DataFrame, n_cells: int, rng: np.random.Generator
    ) -> dict[str, Tensor]:
        """Noise, library and covariates of new control cells, ``n_cells`` per condition."""
        statistics = self.fitted.statistics
        members = self._members(table, statistics)
        for (_, row), is_member in zip(table.iterrows(), members, strict=True):
            context = {key: str(row[key]) for key in context_columns(self.screen) if key in table}
            check_context_has_cells(context, int(is_member.sum()))
        chosen = np.concatenate(
            [rng.choice(np.flatnonzero(is_member), n_cells) for is_member in members]
        )
        noise = rng.standard_normal((len(chosen), len(self.node_names_)))
        return {
            "noise": as_tensor(noise),
            "library": as_tensor(statistics.control_library[chosen]),
            "batch": torch.as_tensor(statistics.control_batch[chosen]),
            "categories": torch.as_tensor(statistics.control_categories[chosen]),
            "continuous": as_tensor(statistics.control_continuous[chosen]),
        }

    def _check_base_cells(self, adata: AnnData, *, allow_perturbed: bool) -> None:
        """Raise unless given cells can be perturbed."""
        self._check_variables(adata)
        check_base_cells(adata.obs, self.screen, allow_perturbed=allow_perturbed)

    def _describe_base(self, adata: AnnData, cell: np.ndarray) -> dict[str, np.ndarray]:
        """Name the given cell of each predicted cell, and what it was perturbed by if at all."""
        described = {"control_cell": np.asarray(adata.obs_names)[cell]}
        labels = adata.obs[self.screen.perturbation_key].astype(str).to_numpy(object)
        if (labels != self.screen.table.control).any():
            described["base_perturbation"] = labels[cell]
        return described

    def _prepare(
        self,
        conditions: ConditionsLike,
        features: pd.DataFrame | None,
        ignore: Sequence[str] | str = (),
    ) -> Conditions:
        """Look up conditions, and mark contexts without control cells."""
        prepared = prepare_conditions(self, conditions, features, ignore)
        statistics = self.fitted.statistics
        members = self._members(prepared.obs, statistics)
        prepared.obs["is_new_context"] = [not is_member.any() for is_member in members]
        run, *codes = statistics.contexts.T
        was_run = self._in_contexts(prepared.obs, codes[0], np.array(codes[1:]).T)
        prepared.obs["is_new_in_context"] = is_new_in_context(
            prepared, self.screen.table, [run[mask] for mask in was_run]
        )
        return prepared

    def _members(self, table: pd.DataFrame, statistics: TrainingStatistics) -> list[np.ndarray]:
        """Which control cells have the covariates that each condition asks for."""
        return self._in_contexts(table, statistics.control_batch, statistics.control_categories)

    def _in_contexts(
        self, table: pd.DataFrame, batch: np.ndarray, categories: np.ndarray
    ) -> list[np.ndarray]:
        """Which rows of codes have the covariates that each condition asks for."""
        columns = context_columns(self.screen)
        codes = {} if self.screen.batch_key is None else {self.screen.batch_key: batch}
        codes |= dict(zip(self.screen.categorical_covariates, categories.T, strict=True))
        members = []
        for _, row in table.iterrows():
            is_member = np.ones(len(batch), bool)
            for key, code in codes.items():
                if key in table and pd.notna(row[key]):
                    is_member &= code == [str(v) for v in columns[key]].index(str(row[key]))
            members.append(is_member)
        return members

    @torch.inference_mode()
    def _base_cells(self, adata: AnnData) -> dict[str, Tensor]:
        """Abducted noise, library and covariates of given control cells."""
        adata = self._validate_anndata(adata)
        parts = []
        for tensors in self._make_data_loader(adata=adata, batch_size=2048):
            on_device = {key: value.to(self.module.device) for key, value in tensors.items()}
            mean = self.module.encode(on_device)[0]
            covariates = self.module.covariates_of(on_device)
            noise = self.module.mechanism.abduct(mean, self.module.node_offset(covariates))
            batch = on_device[SCVI_KEYS.BATCH_KEY]
            library = self.module.library(
                on_device[SCVI_KEYS.X_KEY], on_device.get(SCVI_KEYS.SIZE_FACTOR_KEY)
            )
            parts.append(
                {
                    "noise": noise,
                    "library": library[:, 0],
                    "batch": batch[:, 0],
                    "categories": on_device.get(SCVI_KEYS.CAT_COVS_KEY, batch[:, :0]),
                    "continuous": on_device.get(SCVI_KEYS.CONT_COVS_KEY, library[:, :0]),
                }
            )
        return {key: torch.cat([part[key] for part in parts]).cpu() for key in parts[0]}

    @torch.inference_mode()
    def _sample_block(
        self,
        base: dict[str, Tensor],
        cell: np.ndarray,
        intervention: Intervention,
        output: Output,
        rng: np.random.Generator,
        gene_shift: Tensor | None,
    ) -> np.ndarray | sp.csr_matrix:
        module, device = self.module, self.module.device
        nodes, covariates, library = self._intervene(base, cell, intervention)
        if output == "nodes":
            return nodes.cpu().numpy()
        likelihood = module.likelihood
        expression = module.decode(nodes, library.log(), covariates, gene_shift)
        if output == "normalized":
            scale = likelihood.scale(expression.log_scale)
            return (scale * 1e4 if likelihood.is_count else scale).cpu().numpy()
        # Distributions draw from the global generator, which belongs to the user: fork it.
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(rng.integers(2**31)))
            sampled = likelihood.distribution(expression).sample().cpu().numpy()
        return sp.csr_matrix(sampled) if likelihood.is_count else sampled

    @torch.inference_mode()
    def _intervene(
        self, base: dict[str, Tensor], cell: np.ndarray, intervention: Intervention
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Nodes, encoded covariates and library of base cells under interventions."""
        module, device = self.module, self.module.device
        chosen = {key: values[cell].to(device) for key, values in base.items()}
        covariates = module.encode_covariates(
            chosen["batch"][:, None], chosen["continuous"], chosen["categories"]
        )
        nodes = module.mechanism.simulate(
            chosen["noise"],
            intervention.map(lambda values: values.to(chosen["noise"])),
            module.node_offset(covariates),
        )
        return nodes, covariates, chosen["library"][:, None]


def as_tensor(values: np.ndarray) -> Tensor:
    """float32 tensor of an array."""
    return torch.as_tensor(np.asarray(values), dtype=torch.float32)


def _as_asked(obs: pd.DataFrame) -> pd.DataFrame:
    """Leave out what the model added to the conditions."""
    return obs.loc[:, :"is_seen"].drop(columns="is_seen")


def _text_index(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis(frame.index.map(str))


def describe_do(interventions: Mapping[str, float | Intervention], kind: DoKind) -> str:
    """Write an intervention by hand as text: ``a=1`` shifts, ``b:=0`` sets, ``c*2`` scales."""
    parts = []
    for name, value in interventions.items():
        single = value if isinstance(value, Intervention) else DO_KINDS[kind](value)
        scale, is_cut = float(single.noise_scale), bool(single.is_cut)
        factor = "" if scale == (0 if is_cut else 1) else f"*{scale:g}"
        is_moved = is_cut or bool(single.shift) or not factor
        sign = ":=" if is_cut else "="
        parts.append(name + (f"{sign}{float(single.shift):g}" if is_moved else "") + factor)
    return ", ".join(parts)

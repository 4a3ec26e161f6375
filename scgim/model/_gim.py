from __future__ import annotations

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import pandas as pd
import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi.data._utils import _get_adata_minify_type
from scvi.data.fields import (
    CategoricalJointObsField,
    CategoricalObsField,
)
from scvi.model.base import (
    BaseMinifiedModeModelClass,
    RNASeqMixin,
    UnsupervisedTrainingMixin,
    VAEMixin,
)

from scgim._messages import check_choice, warn
from scgim.data import (
    ConditionSplitter,
    CovariateField,
    DoseField,
    ExpressionField,
    LabelField,
    PerturbationDirections,
    PerturbationField,
    Screen,
    ScreenManager,
    SizeFactorField,
)
from scgim.data._expression_blocks import sum_expression
from scgim.data._fingerprint import place_of_expression
from scgim.data._screen_checks import check_expression, check_layer, check_screen
from scgim.model._annotation_mixin import AnnotationMixin
from scgim.model._cell_gate import (
    check_given_cells,
    check_own_cells,
    look_at_cells,
    remember,
)
from scgim.model._checks import check_model_options, check_no_proteins, check_space_options
from scgim.model._differential_expression_mixin import DifferentialExpressionMixin
from scgim.model._fitting_mixin import FittingMixin
from scgim.model._interpretation_mixin import InterpretationMixin
from scgim.model._step_progress import show_cells, show_step, tell
from scgim.model.host._datamodule_mixin import DataModuleMixin
from scgim.model.host._hub_mixin import HubMixin
from scgim.model.host._minify_mixin import MinifyMixin
from scgim.model.host._mudata_mixin import MuDataMixin, as_keys, columns_by_argument
from scgim.model.host._query_mixin import QueryMixin
from scgim.model.host._training_checkpoint import (
    Checkpoint,
    KeepCheckpoint,
    TrainingRun,
    split_as,
)
from scgim.module import CausalSpace, GeneLikelihood, GIMModule, ProteinLikelihood
from scgim.spaces._genes_fit import GenesOptions, StructureKind
from scgim.spaces._genes_space import GenesSpace
from scgim.spaces._global_state import keep_interrupt_handler, quiet_lightning
from scgim.spaces._latent_space import LatentSpace
from scgim.spaces._mechanism_choice import find_mechanism, name_mechanism
from scgim.train import GIMTrainingPlan, KeepWeights, NonFiniteLossError
from scgim.train._training_progress_bar import with_progress_bar

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    from anndata import AnnData

    from scgim.data import ScreenCheck
    from scgim.data._perturbation_direction import Direction
    from scgim.scm import InterventionKindName, Mechanism
    from scgim.spaces._graph_search import GraphSearch


logger = logging.getLogger(__name__)

MIN_STEPS = 3_000
MAX_EPOCHS = 400
MIN_EPOCHS = 8
DEFAULT_N_NODES = 16
DoseResponse = Literal["hill", "free"]


class GIM(
    FittingMixin,
    DifferentialExpressionMixin,
    InterpretationMixin,
    AnnotationMixin,
    MinifyMixin,
    HubMixin,
    QueryMixin,
    MuDataMixin,
    DataModuleMixin,
    RNASeqMixin,
    VAEMixin,
    UnsupervisedTrainingMixin,
    BaseMinifiedModeModelClass,
):
    """Generative intervention model of a perturbation screen.

    Learns at once a causal model of the unperturbed cell (an acyclic graph over nodes, one
    mechanism per node) and, from features of the perturbations, a distribution over the
    interventions that they are: which nodes they target, and how strongly :cite:p:`Schneider25`.
    Unseen perturbations and doses are predicted by intervening in the causal model.

    Against other models of scvi-tools it is new that the prior of the latent space is a causal
    model under intervention, that perturbation features live once in the registry, and that
    predictions for perturbations that were not run come as cells, with intervals and targets.
    Encoder input, covariates, likelihoods, training loop, saving and minification are those of
    scvi-tools. Not related to :class:`scvi.external.GIMVI`.

    Parameters
    ----------
    adata
        Screen registered by :meth:`setup_anndata`.
    registry
        Registry to build the model from, in place of ``adata``.
    causal_space
        What the nodes are: ``"programs"`` (linear decoder, readable), ``"latent"`` (neural
        decoder, best fit) or ``"genes"`` (the measured genes or proteins themselves, at most a few
        hundred).
    n_nodes
        Number of programs or latent factors, 16 by default; with a program mask, its number of
        programs. Named genes are all genes of ``adata``.
    gene_likelihood
        ``"nb"``, ``"zinb"``, ``"poisson"`` for counts, ``"normal"`` for transformed expression.
    mechanism
        How a node follows its parents: ``"linear"``; ``"mlp"`` for named genes (searched with
        additive splines, then fitted by networks); or a class of your own, see
        :class:`scgim.scm.Mechanism`, for named genes and for programs that a mask names. Import its
        module before you load a model that has it.
    intervention
        What perturbations do to named genes: ``"shift"``, ``"hard"`` (cuts parents, sets mean and
        spread), or ``"auto"``, which decides per target by evidence and says which.
    structure
        How the graph of named genes is found: ``"search"``; ``"gradient"``, the published
        optimiser, for comparison; ``"given"`` by ``search.required`` in :meth:`train`.
    dose_response
        ``"hill"`` (EC50 and slope) or ``"free"`` (a sum of fixed curves). Both are exactly zero
        at dose zero.
    covariates_shift_nodes
        Whether batch and covariates also shift the baseline of the nodes.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers of the encoder.
    dropout_rate
        Dropout in the encoder.
    protein_likelihood
        After :meth:`setup_mudata`: ``"nb"`` for counts of proteins, ``"normal"`` for transformed
        values.

    Examples
    --------
    >>> import scgim
    >>> adata = scgim.datasets.simulate_screen(n_genes=50, n_control=100, n_cells=5)
    >>> check = scgim.model.GIM.setup_anndata(
    ...     adata, "drug", "vehicle", dose_key="dose", features_key="drug_features"
    ... )
    >>> model = scgim.model.GIM(adata, n_nodes=10)

    Named genes, with a graph that is searched and fitted in a second:

    >>> world = scgim.datasets.GenesWorld(n_nodes=5, n_drugs=8, n_unseen=2, graph="er1")
    >>> panel = world.screen()
    >>> check = scgim.model.GIM.setup_anndata(
    ...     panel, "drug", "vehicle", dose_key="dose", features_key="drug_features"
    ... )
    >>> model = scgim.model.GIM(panel, causal_space="genes", gene_likelihood="normal")
    >>> model.train(search=scgim.model.GraphSearch(n_restarts=4), enable_progress_bar=False)
    >>> found, true = model.get_causal_graph() != 0, world.truth["adjacency"] != 0
    >>> int((found.to_numpy() != true).sum())
    0
    >>> model.do({"gene_0": scgim.scm.set_node(0.0)}, n_cells=100).shape
    (100, 5)
    """

    _module_cls = GIMModule
    _data_splitter_cls = ConditionSplitter
    _training_plan_cls = GIMTrainingPlan
    _LATENT_QZM_KEY = "gim_latent_qzm"
    _LATENT_QZV_KEY = "gim_latent_qzv"

    def __init__(
        self,
        adata: AnnData | None = None,
        registry: dict | None = None,
        *,
        causal_space: CausalSpace = "programs",
        n_nodes: int | None = None,
        gene_likelihood: GeneLikelihood = "nb",
        mechanism: str | type[Mechanism] = "linear",
        intervention: InterventionKindName = "shift",
        structure: StructureKind = "search",
        dose_response: DoseResponse = "hill",
        covariates_shift_nodes: bool = False,
        n_hidden: int = 128,
        n_layers: int = 2,
        dropout_rate: float = 0.0,
        protein_likelihood: ProteinLikelihood = "nb",
    ) -> None:
        mechanism = name_mechanism(mechanism)  # what is saved: a name and not a class
        check_model_options(
            causal_space=causal_space,
            n_nodes=n_nodes,
            gene_likelihood=gene_likelihood,
            dose_response=dose_response,
        )
        check_space_options(
            causal_space,
            genes={"mechanism": mechanism, "intervention": intervention, "structure": structure},
            others={
                "dose_response": dose_response,
                "covariates_shift_nodes": covariates_shift_nodes,
                "n_hidden": n_hidden,
                "n_layers": n_layers,
                "dropout_rate": dropout_rate,
                "protein_likelihood": protein_likelihood,
            },
        )
        check_choice("protein_likelihood", protein_likelihood, get_args(ProteinLikelihood))
        super().__init__(adata, registry)
        check_own_cells(self.adata_manager)
        self.screen = Screen.from_registry(self.registry_)
        self.causal_space = causal_space
        self.gene_likelihood = gene_likelihood
        self.protein_likelihood = protein_likelihood
        if self.protein_names:
            check_no_proteins(causal_space)
        if causal_space == "genes":
            options = GenesOptions(find_mechanism(mechanism), intervention, structure)
            self.space = GenesSpace(
                self.screen, self.get_var_names(), n_nodes, gene_likelihood, options
            )
        else:
            own = {} if mechanism == "linear" else {"mechanism_class": find_mechanism(mechanism)}
            self.space = LatentSpace(
                self.screen,
                causal_space,
                DEFAULT_N_NODES if n_nodes is None else n_nodes,
                module_class=self._module_cls,
                dose_response=dose_response,
                covariates_shift_nodes=covariates_shift_nodes,
                n_hidden=n_hidden,
                n_layers=n_layers,
                dropout_rate=dropout_rate,
                protein_likelihood=protein_likelihood,
                n_proteins=len(self.protein_names),
                **own,
            )
        self.node_names_ = self.space.node_names
        statistics = self.summary_stats
        self.module = self.space.make_module(
            n_genes=statistics.n_vars,
            components=torch.as_tensor(self.screen.table.components),
            gene_likelihood=gene_likelihood,
            n_batch=statistics.n_batch,
            n_cats_per_cov=[len(c) for c in self.screen.categorical_covariates.values()],
            n_continuous=len(self.screen.continuous_covariates),
            **self._expression_statistics(),
        )
        self.module.minified_data_type = self.minified_data_type
        self.module.eval()
        self._model_summary_string = (
            f"GIM with {len(self.node_names_)} nodes, causal_space: {causal_space}, gene_likelihood: "
            f"{gene_likelihood}, dose_response: {dose_response}, "
            f"{len(self.screen.table.perturbations)} perturbations"
        )
        self.init_params_ = self._get_init_params(locals())

    @classmethod
    def setup_anndata(
        cls,
        adata: AnnData,
        perturbation_key: str,
        control: str,
        *,
        dose_key: str | None = None,
        features_key: str | None = None,
        layer: str | None = None,
        batch_key: str | None = None,
        categorical_covariate_keys: Sequence[str] | None = None,
        continuous_covariate_keys: Sequence[str] | None = None,
        size_factor_key: str | None = None,
        program_mask_key: str | None = None,
        perturbation_direction: Direction | Mapping[str, Direction] = "unknown",
        **kwargs: Any,
    ) -> ScreenCheck | None:
        """Declare what the columns of a screen mean, and check them.

        Adds the entries that scvi-tools writes (``_scvi*``) and changes nothing else.

        Parameters
        ----------
        adata
            Cells x genes with raw counts in ``X`` or ``layer``.
        perturbation_key
            Column of ``obs`` with the perturbation of each cell; combinations as ``"A+B"``.
        control
            Value of that column for control cells.
        dose_key
            Column of ``obs`` with doses: numbers in one unit, 0 for control cells. The dose of a
            combination is that of each of its parts.
        features_key
            Entry of ``uns`` with a DataFrame of perturbation features, one row per perturbation;
            rows of perturbations that were not run are welcome. Without it unseen perturbations
            cannot be predicted.
        layer
            Layer with raw counts; ``X`` if not given.
        batch_key
            Column of ``obs`` with batches.
        categorical_covariate_keys
            Columns of ``obs`` with categorical covariates.
        continuous_covariate_keys
            Columns of ``obs`` with continuous covariates.
        size_factor_key
            Column of ``obs`` to use in place of the total counts.
        program_mask_key
            Entry of ``varm`` with a DataFrame genes x programs of 0 and 1: which gene may belong
            to which program (pathways, regulons). Its columns name the nodes, and the basis is
            not changed after training.
        perturbation_direction
            What perturbations can do to the expression of their targets: ``"lowers"`` (knock-outs,
            knock-downs, degraders), ``"raises"`` (activation) or ``"unknown"``, for all, or by
            perturbation, where those that are not named are unknown. It orients the ranking of
            :meth:`get_intervention_targets` for ``causal_space="genes"``; it is never guessed.
        **kwargs
            Passed on by scvi-tools when it loads or transfers a model.

        Returns
        -------
        What a look at the screen tells (:class:`~scgim.data.ScreenCheck`): printed, it is one
        paragraph. ``None`` where a model is loaded or transferred.

        Raises
        ------
        ValueError
            Where labels, doses, covariates or features cannot be used; the message says what to do.
        """
        categorical_covariate_keys = as_keys(categorical_covariate_keys)
        continuous_covariate_keys = as_keys(continuous_covariate_keys)
        arguments = cls._get_setup_method_args(**locals())
        features = None
        source = kwargs.get("source_registry")
        if source is None:
            features = check_screen(
                adata,
                perturbation_key=perturbation_key,
                control=control,
                dose_key=dose_key,
                features_key=features_key,
                other_keys=columns_by_argument(arguments["setup_args"]),
                program_mask_key=program_mask_key,
                perturbation_direction=perturbation_direction,
            )
            check_layer(adata.layers, layer)
        elif kwargs.get("extend_categories"):
            features = adata.uns.get(features_key)
        fields = [
            ExpressionField(SCVI_KEYS.X_KEY, layer, is_count_data=False),
            CategoricalObsField(SCVI_KEYS.BATCH_KEY, batch_key),
            PerturbationField(
                perturbation_key,
                str(control),
                features,
                dose_key,
                program_mask_key,
                PerturbationDirections.from_argument(perturbation_direction),
            ),
            LabelField(SCVI_KEYS.LABELS_KEY, perturbation_key),
            CategoricalJointObsField(SCVI_KEYS.CAT_COVS_KEY, categorical_covariate_keys),
            CovariateField(continuous_covariate_keys),
            SizeFactorField(size_factor_key, layer),
        ]
        if dose_key is not None:
            fields.append(DoseField(dose_key))
        minify_type = _get_adata_minify_type(adata)
        if minify_type is not None:
            fields += cls._get_fields_for_adata_minification(minify_type)
        manager = ScreenManager(fields=fields, setup_method_args=arguments)
        manager.register_fields(adata, **kwargs)
        remember(manager)
        cls.register_manager(manager)
        is_new = source is None and minify_type is None
        return look_at_cells(manager, adata) if is_new else None

    def _validate_anndata(self, adata: AnnData | None = None, **kwargs: Any) -> AnnData:
        if adata is None or adata is self.adata:
            check_own_cells(self.adata_manager)
        else:
            self._check_given_cells(adata)
        return super()._validate_anndata(adata, **kwargs)

    def _check_given_cells(self, cells: AnnData) -> None:
        """Raise unless cells have the genes, columns and kind of expression of training."""
        self._check_variables(cells)
        if self.minified_data_type is None and _get_adata_minify_type(cells) is None:
            check_given_cells(cells, self.registry_, self.screen, self.gene_likelihood)

    def train(
        self,
        max_epochs: int | None = None,
        *,
        batch_size: int = 256,
        train_size: float | None = None,
        early_stopping: bool = True,
        fix_gauge: bool = True,
        search: GraphSearch | None = None,
        checkpoint: str | os.PathLike[str] | None = None,
        resume: str | os.PathLike[str] | None = None,
        accelerator: str = "auto",
        devices: int | list[int] | str = "auto",
        plan_kwargs: dict[str, Any] | None = None,
        datasplitter_kwargs: dict[str, Any] | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train the model, learn features -> interventions, and fix the gauge.

        Whole conditions are held out (:class:`~scgim.data.ConditionSplitter`); the share of
        their expression shift that the model predicts is logged as ``shift_r2_validation``,
        decides when to stop early, and the best weights are kept. The held-out cells return in
        the last step, which re-estimates every intervention from all cells.

        Named genes need no minibatches: the graph is searched, then mechanisms, targets and
        efficacies are fitted in closed form. Of the arguments below they take ``search`` and
        ``enable_progress_bar`` only.

        Ctrl-C and a loss that is not finite stop training and keep the last good weights; Ctrl-C during a
        search keeps the best graph so far. With ``checkpoint``, a training that was killed goes on by
        ``resume``, loses at most one epoch, and ends on the CPU with the weights that it would have had.

        Parameters
        ----------
        max_epochs
            Passes over the cells; ``None`` for about 3,000 minibatches, at least 8 passes.
        batch_size
            Cells per minibatch.
        train_size
            Share of conditions to train on; ``None`` is 0.95.
        early_stopping
            Whether to stop when the score on held-out conditions has clearly fallen.
        fix_gauge
            Whether to choose the basis of the nodes at the end, see :meth:`fix_gauge`; a model
            mapped by :meth:`load_query_data` keeps that of its reference.
        search
            For ``causal_space="genes"``: how to search the graph, and what is known of it.
        checkpoint
            Folder in which to keep the last finished epoch, without a pickle.
        resume
            Folder of a checkpoint to go on from, with the same cells and arguments; the checkpoint
            is kept there too, unless ``checkpoint`` is another folder.
        accelerator
            ``"cpu"``, ``"gpu"`` or ``"auto"``.
        devices
            Devices to use.
        plan_kwargs
            Passed to :class:`~scgim.train.GIMTrainingPlan`.
        datasplitter_kwargs
            Passed to :class:`~scgim.data.ConditionSplitter`.
        **trainer_kwargs
            Passed to :class:`scvi.train.Trainer`.

        Raises
        ------
        RuntimeError
            When the loss becomes non-finite; weights of the last finite epoch are kept.
        ValueError
            When the cells have changed since set-up.
        """
        check_own_cells(self.adata_manager)
        minibatches = {
            "max_epochs": max_epochs,
            "batch_size": batch_size,
            "train_size": train_size,
            "early_stopping": early_stopping,
            "accelerator": accelerator,
            "devices": devices,
            "plan_kwargs": plan_kwargs,
            "datasplitter_kwargs": datasplitter_kwargs,
            **trainer_kwargs,
        }
        places = {"checkpoint": checkpoint, "resume": resume}
        minibatches |= {name: Path(path) for name, path in places.items() if path is not None}
        self.space.check_train_arguments(search, minibatches | {"fix_gauge": fix_gauge})
        learn = partial(
            self._learn,
            fix_gauge=fix_gauge,
            search=search,
            show_progress=trainer_kwargs.get("enable_progress_bar", True),
        )
        if not self.space.trains_weights:
            learn()
            return
        try:
            self._train_weights(**minibatches)
        except NonFiniteLossError as error:
            learn()
            raise RuntimeError(self._describe_non_finite(error)) from error
        learn()

    def _train_weights(
        self,
        *,
        max_epochs: int | None,
        batch_size: int,
        early_stopping: bool,
        checkpoint: Path | None = None,
        resume: Path | None = None,
        **trainer_kwargs: Any,
    ) -> None:
        """Train by gradients, as :meth:`train` says; it has the arguments."""
        if not any(parameter.requires_grad for parameter in self.module.parameters()):
            logger.info("The new cells have no new batch or perturbation, so no weight learns.")
            return
        if max_epochs is None:
            n_epochs = int(np.ceil(MIN_STEPS * batch_size / max(1, self.screen.n_cells)))
            max_epochs = int(np.clip(n_epochs, MIN_EPOCHS, MAX_EPOCHS))
        self._datamodule = trainer_kwargs.get("datamodule")
        keep = KeepWeights(
            self.module, patience=max(5, max_epochs // 4) if early_stopping else None
        )
        trainer_kwargs.setdefault("check_val_every_n_epoch", max(1, max_epochs // 40))
        trainer_kwargs.setdefault("gradient_clip_val", 100.0)
        trainer_kwargs.setdefault("enable_model_summary", False)
        # Nothing is logged within an epoch; Lightning warns where an epoch is shorter than this.
        trainer_kwargs.setdefault("log_every_n_steps", 1)
        # The splitter already shares the cells among processes; Lightning would do it again.
        trainer_kwargs.setdefault("use_distributed_sampler", False)
        callbacks = [*trainer_kwargs.get("callbacks", []), keep]
        if checkpoint is not None or resume is not None:
            arguments = {"max_epochs": max_epochs, "batch_size": batch_size}
            arguments |= {"early_stopping": early_stopping}
            arguments |= {name: trainer_kwargs[name] for name in ("train_size", "plan_kwargs")}
            start, run = self._find_start(resume, arguments)
            callbacks.append(KeepCheckpoint(checkpoint or resume, run, keep, start))
            trainer_kwargs["datasplitter_kwargs"] = split_as(
                start, trainer_kwargs["datasplitter_kwargs"]
            )
        is_shown = trainer_kwargs.get("enable_progress_bar", True)
        trainer_kwargs["callbacks"] = callbacks
        if is_shown and not trainer_kwargs.setdefault("simple_progress_bar", False):
            trainer_kwargs["callbacks"] = with_progress_bar(callbacks)
        self.module.train()
        try:
            with keep_interrupt_handler(), quiet_lightning():
                super().train(max_epochs, batch_size=batch_size, **trainer_kwargs)
        except NonFiniteLossError:
            keep.restore_last()
            raise
        except SystemExit:
            # Lightning turns Ctrl-C into SystemExit and disables the signal.
            if not keep.was_interrupted:
                raise
            keep.restore_finished()
            warn(
                f"Training was interrupted after {keep.n_epochs} of {max_epochs} epochs. The model "
                f"keeps what it has learned so far and can be used and saved. {keep.describe()}"
            )
            return
        told = f"Trained {keep.n_epochs} of {max_epochs} epochs. {keep.describe()}"
        tell(told, is_shown=is_shown and keep.kept_epoch < max_epochs)

    def _find_start(
        self, resume: Path | None, arguments: dict[str, Any]
    ) -> tuple[Checkpoint | None, TrainingRun]:
        """Read where to go on from, and say what has to be the same for it."""
        manager = None if self.adata is None else self.adata_manager
        about_model = self.registry_["setup_args"] | self.init_params_["non_kwargs"]
        run = TrainingRun.of(arguments | about_model, manager)
        return None if resume is None else Checkpoint.read(resume, run), run

    def _describe_non_finite(self, error: NonFiniteLossError) -> str:
        label = self.screen.table.labels[error.perturbation_code]
        return (
            f"The loss became non-finite in epoch {error.epoch}, first in a cell of "
            f"{label!r}. The model keeps its weights of the last finite epoch and can be used "
            "and saved. Check the expression of these cells, or train with a smaller step, "
            "`plan_kwargs={'lr': 1e-3}`."
        )

    def _learn(self, *, fix_gauge: bool, search: GraphSearch | None, show_progress: bool) -> None:
        """Learn what the perturbations do, now that the weights are trained."""
        self.module.eval()
        # The search of named genes has a progress bar of its own.
        is_shown = show_progress and self.space.trains_weights
        n_cells, step = self.screen.n_cells, "Estimating interventions"
        with show_cells(self._batches, n_cells, step, is_shown=is_shown) as read_cells:
            self.fitted = self.space.fit(
                self.module,
                read_cells,
                search=search,
                reference=self._reference,
                show_progress=show_progress,
            )
        self.is_trained_ = True
        if self.fitted.history is not None:
            self.history_ = self.fitted.history
        if fix_gauge and self._reference is None:
            with show_step("Choosing the basis of the nodes", is_shown=is_shown):
                self.fix_gauge()

    def _expression_statistics(self) -> dict[str, Any]:
        """Start of the gene intercepts and the scale of the encoder's input, from the data."""
        if self.adata is None:
            return self._streamed_statistics()
        if self.minified_data_type is not None:
            return {}
        expression = self.adata_manager.get_from_registry(SCVI_KEYS.X_KEY)
        arguments = self.registry_["setup_args"]
        check_expression(
            expression,
            likelihood=self.gene_likelihood,
            place=place_of_expression(arguments),
            var_names=pd.Index(self._gene_names()),
        )
        totals, gene_totals = sum_expression(expression)
        start = {"protein_intercept": self._protein_intercept()} if self.protein_names else {}
        return {
            **start,
            **self._start(
                gene_total=gene_totals,
                median_library=float(np.median(totals)),
                n_obs=self.adata.n_obs,
            ),
        }

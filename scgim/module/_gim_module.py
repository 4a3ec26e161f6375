from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi.data._constants import ADATA_MINIFY_TYPE
from scvi.module._constants import MODULE_KEYS as SCVI_MODULE_KEYS
from scvi.module.base import BaseMinifiedModeModuleClass, LossOutput, auto_move_data
from torch import Tensor, nn
from torch.distributions import Distribution, Normal
from torch.nn.functional import one_hot

from scgim._constants import MODULE_KEYS, REGISTRY_KEYS
from scgim._validation import check_seen_labels
from scgim.module._likelihood import (
    Expression,
    GeneLikelihood,
    make_distribution,
    negative_log_likelihood,
)
from scgim.module._observation import GeneProgramDecoder, NeuralDecoder, NodeEncoder
from scgim.scm import InterventionTable, LinearMechanism

if TYPE_CHECKING:
    from collections.abc import Sequence

CausalSpace = Literal["programs", "latent"]


class GIMModule(BaseMinifiedModeModuleClass):
    r"""Generative intervention model of the expression of one cell.

    .. math::
        s &= \textstyle\sum_k a_k h_k(d) && \text{shift intervention of the perturbations } k\\
        z &= zA + \beta + s + \varepsilon, \quad \varepsilon \sim N(0, I)
            && \text{causal model of the nodes}\\
        x &\sim \mathrm{NB}(\ell\,\mathrm{softmax}(Wz + b), \theta)
            && \text{observation model of the genes}

    The posterior :math:`q(z \mid x)` does not see the perturbation. The Kullback-Leibler term is
    in closed form, see :meth:`scgim.scm.LinearMechanism.divergence`.

    Parameters
    ----------
    n_genes
        Number of genes.
    n_nodes
        Number of nodes of the causal graph.
    components
        Rows of the intervention table for each perturbation label, shape
        ``(n_labels, n_components)``; -1 fills up, a control label has only -1.
    n_perturbations
        Rows of the intervention table.
    anchors
        Log10 doses of the ``"free"`` dose response, or ``None`` for Hill curves.
    log10_dose_center
        Prior mean of log10 EC50.
    causal_space
        ``"programs"`` (linear decoder) or ``"latent"`` (neural decoder).
    gene_likelihood
        ``"nb"``, ``"zinb"``, ``"poisson"`` or ``"normal"``.
    n_hidden
        Width of the hidden layers.
    n_layers
        Hidden layers of the encoder, and of the neural decoder.
    dropout_rate
        Dropout in the encoder.
    n_batch
        Number of batches.
    n_cats_per_cov
        Number of categories of each categorical covariate.
    n_continuous
        Number of continuous covariates.
    covariates_shift_nodes
        Whether batch and covariates also shift the baseline of the nodes.
    program_mask
        Which gene may belong to which program, shape ``(n_genes, n_nodes)``, or ``None``.
    mean_log_expression
        Start of the gene intercepts, shape ``(n_genes,)``, or ``None``.
    median_library
        Total count to which the encoder normalises its input.
    n_obs
        Number of cells, which weighs the prior of the intervention table.
    """

    components: Tensor
    median_library: Tensor

    def __init__(
        self,
        n_genes: int,
        n_nodes: int,
        *,
        components: Tensor,
        n_perturbations: int,
        anchors: Tensor | None = None,
        log10_dose_center: float = 0.0,
        causal_space: CausalSpace = "programs",
        gene_likelihood: GeneLikelihood = "nb",
        n_hidden: int = 128,
        n_layers: int = 2,
        dropout_rate: float = 0.0,
        n_batch: int = 1,
        n_cats_per_cov: Sequence[int] = (),
        n_continuous: int = 0,
        covariates_shift_nodes: bool = False,
        program_mask: Tensor | None = None,
        mean_log_expression: Tensor | None = None,
        median_library: float = 1e4,
        n_obs: int = 1,
    ) -> None:
        super().__init__()
        self.gene_likelihood = gene_likelihood
        self.n_obs = n_obs
        self.n_categories = [*n_cats_per_cov, n_batch]
        n_covariates = n_continuous + sum(n for n in self.n_categories if n > 1)

        self.encoder = NodeEncoder(
            n_genes,
            n_nodes,
            n_categories=self.n_categories,
            n_continuous=n_continuous,
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout_rate=dropout_rate,
        )
        self.mechanism = LinearMechanism(n_nodes)
        self.interventions = InterventionTable(
            n_perturbations, n_nodes, anchors=anchors, log10_dose_center=log10_dose_center
        )
        self.decoder: GeneProgramDecoder | NeuralDecoder
        if causal_space == "programs":
            self.decoder = GeneProgramDecoder(n_nodes, n_genes, n_covariates, program_mask)
        else:
            self.decoder = NeuralDecoder(
                n_nodes, n_genes, n_covariates, n_hidden=n_hidden, n_layers=n_layers
            )
        self.log_theta = nn.Parameter(torch.ones(n_genes))
        if gene_likelihood == "normal":
            nn.init.zeros_(self.log_theta)
        self.dropout_head = nn.Linear(n_nodes, n_genes) if gene_likelihood == "zinb" else None
        if self.dropout_head is not None:
            nn.init.constant_(self.dropout_head.bias, -3.0)
        self.node_covariate_effects = (
            nn.Parameter(torch.zeros(n_nodes, n_covariates)) if covariates_shift_nodes else None
        )
        if mean_log_expression is not None:
            self.decoder.intercept.data.copy_(mean_log_expression)
        self.register_buffer("components", components)
        self.register_buffer("median_library", torch.tensor(float(median_library)))

    def _get_inference_input(
        self, tensors: dict[str, Tensor], full_forward_pass: bool = False
    ) -> dict[str, Tensor | None]:
        if self.minified_data_type in ADATA_MINIFY_TYPE and not full_forward_pass:
            return {
                SCVI_MODULE_KEYS.QZM_KEY: tensors[SCVI_KEYS.LATENT_QZM_KEY],
                SCVI_MODULE_KEYS.QZV_KEY: tensors[SCVI_KEYS.LATENT_QZV_KEY],
                SCVI_KEYS.OBSERVED_LIB_SIZE: tensors[SCVI_KEYS.OBSERVED_LIB_SIZE],
            }
        return {
            "x": tensors[SCVI_KEYS.X_KEY],
            "batch_index": tensors[SCVI_KEYS.BATCH_KEY],
            "cont_covs": tensors.get(SCVI_KEYS.CONT_COVS_KEY),
            "cat_covs": tensors.get(SCVI_KEYS.CAT_COVS_KEY),
            "size_factor": tensors.get(SCVI_KEYS.SIZE_FACTOR_KEY),
        }

    @auto_move_data
    def _regular_inference(
        self,
        x: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None = None,
        cat_covs: Tensor | None = None,
        size_factor: Tensor | None = None,
        n_samples: int = 1,
    ) -> dict[str, Tensor | Distribution | None]:
        """Expression & covariates -> posterior of the nodes."""
        library = self.library(x, size_factor)
        mean, variance = self.encoder(
            self._normalise(x, library), self._categories(batch_index, cat_covs), cont_covs
        )
        qz = Normal(mean, variance.sqrt(), validate_args=False)
        log_library = library.log()
        if n_samples > 1:
            log_library = log_library.expand(n_samples, *log_library.shape)
        return {
            SCVI_MODULE_KEYS.Z_KEY: qz.rsample() if n_samples == 1 else qz.sample((n_samples,)),
            SCVI_MODULE_KEYS.QZ_KEY: qz,
            SCVI_MODULE_KEYS.QL_KEY: None,
            SCVI_MODULE_KEYS.LIBRARY_KEY: log_library,
        }

    def _cached_inference(
        self, qzm: Tensor, qzv: Tensor, observed_lib_size: Tensor, n_samples: int = 1
    ) -> dict[str, Tensor | Distribution | None]:
        """Draw nodes from their stored posterior."""
        qz = Normal(qzm, qzv.sqrt())
        log_library = observed_lib_size.log()
        if n_samples > 1:
            log_library = log_library.expand(n_samples, *log_library.shape)
        return {
            SCVI_MODULE_KEYS.Z_KEY: qz.sample() if n_samples == 1 else qz.sample((n_samples,)),
            SCVI_MODULE_KEYS.QZ_KEY: qz,
            SCVI_MODULE_KEYS.QL_KEY: None,
            SCVI_MODULE_KEYS.LIBRARY_KEY: log_library,
        }

    def _get_generative_input(
        self, tensors: dict[str, Tensor], inference_outputs: dict[str, Tensor]
    ) -> dict[str, Tensor | None]:
        return {
            "z": inference_outputs[SCVI_MODULE_KEYS.Z_KEY],
            "library": inference_outputs[SCVI_MODULE_KEYS.LIBRARY_KEY],
            "batch_index": tensors[SCVI_KEYS.BATCH_KEY],
            "cont_covs": tensors.get(SCVI_KEYS.CONT_COVS_KEY),
            "cat_covs": tensors.get(SCVI_KEYS.CAT_COVS_KEY),
        }

    @auto_move_data
    def generative(
        self,
        z: Tensor,
        library: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None = None,
        cat_covs: Tensor | None = None,
        transform_batch: Tensor | int | None = None,
    ) -> dict[str, object]:
        """Nodes & covariates -> expression."""
        if transform_batch is not None:
            batch_index = torch.ones_like(batch_index) * transform_batch
        expression = self.decode(
            z, library, self.encode_covariates(batch_index, cont_covs, cat_covs)
        )
        return {
            MODULE_KEYS.EXPRESSION: expression,
            SCVI_MODULE_KEYS.PX_KEY: (
                None if self.training else make_distribution(self.gene_likelihood, expression)
            ),
        }

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Normal],
        generative_outputs: dict[str, Expression],
        kl_weight: float = 1.0,
    ) -> LossOutput:
        """Negative evidence lower bound per cell, plus the prior of the intervention table."""
        qz = inference_outputs[SCVI_MODULE_KEYS.QZ_KEY]
        reconstruction_loss = negative_log_likelihood(
            self.gene_likelihood,
            tensors[SCVI_KEYS.X_KEY],
            generative_outputs[MODULE_KEYS.EXPRESSION],
        )
        divergence = self.mechanism.divergence(
            qz.loc, qz.scale.square(), self.exogenous_mean(tensors)
        )
        prior = self.interventions.negative_log_prior()
        loss = (reconstruction_loss + kl_weight * divergence).mean() + prior / self.n_obs
        return LossOutput(
            loss=loss,
            reconstruction_loss=reconstruction_loss,
            kl_local=divergence,
            kl_global=prior,
        )

    def exogenous_mean(self, tensors: dict[str, Tensor]) -> Tensor:
        """Shift of each cell by its perturbations and, where asked, by its covariates.

        Parameters
        ----------
        tensors
            Minibatch with perturbation codes, doses and covariates.

        Returns
        -------
        Mean of the exogenous input, shape ``(n_cells, n_nodes)``, in noise standard deviations.
        """
        labels = tensors[REGISTRY_KEYS.PERTURBATION].squeeze(-1).long()
        if not self.training:
            check_seen_labels(labels, len(self.components))
        dose = tensors.get(REGISTRY_KEYS.DOSE)
        log10_dose = (
            dose.log10()
            if dose is not None
            else torch.full_like(
                tensors[REGISTRY_KEYS.PERTURBATION], torch.inf, dtype=torch.float32
            )
        )
        shift: Tensor = self.interventions(self.components[labels], log10_dose)
        if self.node_covariate_effects is None:
            return shift
        return shift + self.node_offset(self.covariates_of(tensors))

    def covariates_of(self, tensors: dict[str, Tensor]) -> Tensor | None:
        """Encode the covariates of a minibatch, see :meth:`encode_covariates`."""
        return self.encode_covariates(
            tensors[SCVI_KEYS.BATCH_KEY],
            tensors.get(SCVI_KEYS.CONT_COVS_KEY),
            tensors.get(SCVI_KEYS.CAT_COVS_KEY),
        )

    def encode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance of the nodes of a minibatch, both (n_cells, n_nodes)."""
        inputs = self._encoder_inputs(tensors)
        mean, variance = self.encoder(*inputs)
        return mean, variance

    def encoder_hidden(self, tensors: dict[str, Tensor]) -> Tensor:
        """Last hidden layer of the encoder for a minibatch, shape ``(n_cells, n_hidden)``."""
        on_device = {key: value.to(self.device) for key, value in tensors.items()}
        return self.encoder.hidden(*self._encoder_inputs(on_device))

    def _encoder_inputs(
        self, tensors: dict[str, Tensor]
    ) -> tuple[Tensor, list[Tensor], Tensor | None]:
        x = tensors[SCVI_KEYS.X_KEY]
        library = self.library(x, tensors.get(SCVI_KEYS.SIZE_FACTOR_KEY))
        categories = self._categories(
            tensors[SCVI_KEYS.BATCH_KEY], tensors.get(SCVI_KEYS.CAT_COVS_KEY)
        )
        return self._normalise(x, library), categories, tensors.get(SCVI_KEYS.CONT_COVS_KEY)

    def node_offset(self, covariates: Tensor | None) -> Tensor:
        """Shift of the node baselines by encoded covariates; 0 unless asked for at set-up."""
        if self.node_covariate_effects is None or covariates is None:
            return torch.zeros_like(self.mechanism.offset)
        return covariates @ self.node_covariate_effects.T

    def decode(self, nodes: Tensor, log_library: Tensor, covariates: Tensor | None) -> Expression:
        """Nodes & covariates -> parameters of the expression of each cell.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.
        log_library
            Log total counts, shape ``(..., 1)``.
        covariates
            Output of :meth:`encode_covariates`.

        Returns
        -------
        Parameters of the likelihood.
        """
        if covariates is not None and covariates.ndim < nodes.ndim:
            covariates = covariates.expand(*nodes.shape[:-1], -1)
        logits = self.decoder(nodes, covariates)
        is_mean = self.gene_likelihood == "normal"
        return Expression(
            log_scale=logits if is_mean else torch.log_softmax(logits, -1),
            log_library=log_library,
            log_theta=self.log_theta,
            dropout_logits=None if self.dropout_head is None else self.dropout_head(nodes),
        )

    def encode_covariates(
        self, batch_index: Tensor, cont_covs: Tensor | None, cat_covs: Tensor | None
    ) -> Tensor | None:
        """Continuous covariates beside one-hot categories, batch last so that it can grow.

        Parameters
        ----------
        batch_index
            Batch of each cell, shape ``(n_cells, 1)``.
        cont_covs
            Continuous covariates, shape ``(n_cells, n_continuous)``, or ``None``.
        cat_covs
            Codes of categorical covariates, shape ``(n_cells, n_categorical)``, or ``None``.

        Returns
        -------
        Shape ``(n_cells, n_covariates)``; ``None`` without covariates and with one batch.
        """
        encoded = [] if cont_covs is None or cont_covs.shape[1] == 0 else [cont_covs]
        codes = self._categories(batch_index, cat_covs)
        for code, n_categories in zip(codes, self.n_categories, strict=True):
            if n_categories > 1:
                encoded.append(one_hot(code.squeeze(-1).long(), n_categories).float())
        return torch.cat(encoded, -1) if encoded else None

    @torch.inference_mode()
    def sample(
        self,
        tensors: dict[str, Tensor],
        n_samples: int = 1,
        generative_kwargs: dict[str, Tensor] | None = None,
    ) -> Tensor:
        """Draw expression from the posterior predictive distribution of given cells.

        Parameters
        ----------
        tensors
            Minibatch.
        n_samples
            Draws per cell.
        generative_kwargs
            Passed to :meth:`generative`.

        Returns
        -------
        Shape ``(n_cells, n_genes)``, or ``(n_cells, n_genes, n_samples)`` for several draws.
        """
        _, generative_outputs = self.forward(
            tensors,
            inference_kwargs={"n_samples": n_samples},
            generative_kwargs=generative_kwargs,
            compute_loss=False,
        )
        draws = generative_outputs[SCVI_MODULE_KEYS.PX_KEY].sample().cpu()
        return draws.permute(1, 2, 0) if n_samples > 1 else draws

    def library(self, x: Tensor, size_factor: Tensor | None) -> Tensor:
        """Total count of each cell, or its size factor, shape ``(n_cells, 1)``."""
        if size_factor is not None:
            return size_factor
        if self.gene_likelihood == "normal":
            return torch.ones_like(x[:, :1])
        return x.sum(-1, keepdim=True)

    def _normalise(self, x: Tensor, library: Tensor) -> Tensor:
        if self.gene_likelihood == "normal":
            return x
        return torch.log1p(x * (self.median_library / library))

    def _categories(self, batch_index: Tensor, cat_covs: Tensor | None) -> list[Tensor]:
        if cat_covs is None or cat_covs.shape[1] == 0:
            return [batch_index]
        covariates = list(cat_covs.split(1, dim=1))
        return [*covariates, batch_index]

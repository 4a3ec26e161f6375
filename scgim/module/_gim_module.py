from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi.module._constants import MODULE_KEYS as SCVI_MODULE_KEYS
from scvi.module.base import LossOutput
from torch import Tensor, nn

from scgim._constants import MODULE_KEYS, REGISTRY_KEYS
from scgim.module._causal_module import CausalModule, CausalSpace
from scgim.module._likelihood import get_likelihood
from scgim.module._observation import GeneProgramDecoder, NeuralDecoder, NodeEncoder
from scgim.module._protein_decoder import ProteinDecoder
from scgim.scm import InterventionTable, LinearMechanism

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch.distributions import Normal

    from scgim.module._likelihood import (
        Expression,
        GeneLikelihood,
        Likelihood,
        ProteinLikelihood,
    )
    from scgim.scm import Mechanism

# Extra zeros start at one in twenty, so that the negative binomial explains what it can first.
START_DROPOUT_LOGIT = -3.0


class GIMModule(CausalModule):
    r"""Generative intervention model of the expression of one cell.

    .. math::
        s &= \textstyle\sum_k a_k h_k(d) && \text{shift intervention of the perturbations } k\\
        z &= zA + \beta + s + \varepsilon, \quad \varepsilon \sim N(0, I)
            && \text{causal model of the nodes}\\
        x &\sim \mathrm{NB}(\ell\,\mathrm{softmax}(Wz + b), \theta)
            && \text{observation model of the genes}

    For ``causal_space="programs"`` and ``"latent"``; named genes have
    :class:`~scgim.module.NamedNodeModule`. The posterior :math:`q(z \mid x)` does not see the
    perturbation. The Kullback-Leibler term is in closed form for linear mechanisms, as above, see
    :meth:`scgim.scm.LinearMechanism.divergence`, and else estimated,
    :meth:`scgim.scm.Mechanism.divergence`.

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
    mechanism_class
        How nodes follow their parents.
    gene_likelihood
        ``"nb"``, ``"zinb"``, ``"poisson"`` or ``"normal"``, or a likelihood of your own.
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
    n_proteins
        Number of proteins measured beside RNA.
    protein_likelihood
        ``"nb"`` or ``"normal"``.
    protein_intercept
        Start of the protein intercepts, shape ``(n_proteins,)``, or ``None``.
    """

    mechanism: Mechanism
    dropout_head: nn.Linear | None

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
        mechanism_class: type[Mechanism] = LinearMechanism,
        gene_likelihood: GeneLikelihood | Likelihood = "nb",
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
        n_proteins: int = 0,
        protein_likelihood: ProteinLikelihood = "nb",
        protein_intercept: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.likelihood = get_likelihood(gene_likelihood)
        self.n_obs = n_obs
        self.n_categories = [*n_cats_per_cov, n_batch]
        n_covariates = n_continuous + sum(n for n in self.n_categories if n > 1)

        self.encoder = NodeEncoder(
            n_genes + n_proteins,
            n_nodes,
            n_categories=self.n_categories,
            n_continuous=n_continuous,
            n_hidden=n_hidden,
            n_layers=n_layers,
            dropout_rate=dropout_rate,
        )
        self.mechanism = mechanism_class(n_nodes)
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
        if n_proteins:
            self.protein_decoder = ProteinDecoder(
                n_nodes,
                n_proteins,
                n_covariates,
                likelihood=protein_likelihood,
                intercept=protein_intercept,
            )
        self.log_theta = nn.Parameter(torch.full((n_genes,), self.likelihood.start_log_theta))
        self.dropout_head = None
        if self.likelihood.is_zero_inflated:
            self.dropout_head = nn.Linear(n_nodes, n_genes)
            nn.init.constant_(self.dropout_head.bias, START_DROPOUT_LOGIT)
        self.node_covariate_effects = (
            nn.Parameter(torch.zeros(n_nodes, n_covariates)) if covariates_shift_nodes else None
        )
        if mean_log_expression is not None:
            self.decoder.intercept.data.copy_(mean_log_expression)
        self.register_buffer("components", components)
        self.register_buffer("median_library", torch.tensor(float(median_library)))

    def posterior(
        self,
        expression: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None,
        cat_covs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Log-normalised expression & covariates -> mean and variance of the nodes."""
        mean, variance = self.encoder(
            expression, self._categories(batch_index, cat_covs), cont_covs
        )
        return mean, variance

    def log_scale(self, nodes: Tensor, covariates: Tensor | None) -> Tensor:
        """Nodes & covariates -> log of the expected share of each gene (its mean if transformed)."""
        return self.likelihood.log_scale(self.decoder(nodes, covariates))

    def dropout_logits(self, nodes: Tensor) -> Tensor | None:
        """Logits of extra zeros, for the zero-inflated likelihood."""
        return None if self.dropout_head is None else self.dropout_head(nodes)

    def loss(
        self,
        tensors: dict[str, Tensor],
        inference_outputs: dict[str, Normal],
        generative_outputs: dict[str, Expression],
        kl_weight: float = 1.0,
    ) -> LossOutput:
        """Negative evidence lower bound per cell, plus the prior of the intervention table."""
        qz = inference_outputs[SCVI_MODULE_KEYS.QZ_KEY]
        reconstruction_loss = self.likelihood.loss(
            tensors[SCVI_KEYS.X_KEY], generative_outputs[MODULE_KEYS.EXPRESSION]
        )
        if self.protein_decoder is not None:
            nodes = cast("Tensor", inference_outputs[SCVI_MODULE_KEYS.Z_KEY])
            reconstruction_loss = reconstruction_loss + self.protein_decoder.loss(
                tensors[SCVI_KEYS.PROTEIN_EXP_KEY],
                nodes,
                self.covariates_of(tensors),
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

    def trained_dose_response(self) -> tuple[Tensor, float]:
        """Log10 EC50 of each perturbation and the median slope, where training left them."""
        return self.interventions.log10_ec50, float(self.interventions.hill.median())

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
        expression = self._normalise(x, library, tensors.get(SCVI_KEYS.PROTEIN_EXP_KEY))
        return expression, categories, tensors.get(SCVI_KEYS.CONT_COVS_KEY)

    def node_offset(self, covariates: Tensor | None) -> Tensor:
        """Shift of the node baselines by encoded covariates; 0 unless asked for at set-up."""
        if self.node_covariate_effects is None or covariates is None:
            return torch.zeros_like(self.mechanism.offset)
        return covariates @ self.node_covariate_effects.T


def check_seen_labels(labels: Tensor, n_seen: int) -> None:
    """Raise where cells are under perturbations that training did not see.

    Parameters
    ----------
    labels
        Perturbation codes of the cells.
    n_seen
        Number of codes of training.
    """
    n_unseen = int((labels >= n_seen).sum())
    if n_unseen:
        message = (
            f"{n_unseen} cells are under perturbations that were not in training, so their "
            "likelihood under the model is not defined. Use `GIM.get_latent_representation` to "
            "encode them, or `GIM.predict` to predict the perturbation."
        )
        raise ValueError(message)

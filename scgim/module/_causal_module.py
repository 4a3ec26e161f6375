from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Literal

import torch
from scvi import REGISTRY_KEYS as SCVI_KEYS
from scvi.data._constants import ADATA_MINIFY_TYPE
from scvi.module._constants import MODULE_KEYS as SCVI_MODULE_KEYS
from scvi.module.base import BaseMinifiedModeModuleClass, auto_move_data
from torch import Tensor
from torch.distributions import Distribution, Normal
from torch.nn.functional import one_hot

from scgim._constants import MODULE_KEYS
from scgim.module._likelihood import Expression

if TYPE_CHECKING:
    from scgim.module._likelihood import Likelihood
    from scgim.module._protein_decoder import ProteinDecoder
    from scgim.scm import Mechanism

CausalSpace = Literal["genes", "programs", "latent"]


class CausalModule(BaseMinifiedModeModuleClass):
    """What all causal spaces share: covariates, library size, and the way from nodes to expression.

    A causal space adds its posterior of the nodes, :meth:`posterior`, and its observation model,
    :meth:`log_scale`.

    Attributes
    ----------
    likelihood
        How expression scatters around what the nodes say.
    n_categories
        Number of categories of each categorical covariate and, last, of the batch.
    mechanism
        How every node follows its parents.
    components
        Rows of the perturbations in each label, shape ``(n_labels, n_components)``; -1 fills up.
    median_library
        Total count to which expression is normalised before it is encoded.
    log_theta
        Log inverse dispersion of each gene (log standard deviation for transformed expression).
    protein_decoder
        Second observation model, for proteins measured beside RNA; ``None`` without them.
    """

    likelihood: Likelihood
    n_categories: list[int]
    mechanism: Mechanism
    components: Tensor
    median_library: Tensor
    log_theta: Tensor
    protein_decoder: ProteinDecoder | None

    def __init__(self) -> None:
        super().__init__()
        self.protein_decoder = None

    @property
    def gene_likelihood(self) -> str:
        """Name of the likelihood, where scvi-tools looks for it."""
        return self.likelihood.name

    @abstractmethod
    def posterior(
        self,
        expression: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None,
        cat_covs: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Mean and variance of the nodes of cells, given log-normalised expression."""

    @abstractmethod
    def log_scale(self, nodes: Tensor, covariates: Tensor | None) -> Tensor:
        """Log of the expected share of each gene; its mean where it is transformed."""

    def trained_dose_response(self) -> tuple[Tensor, float]:
        """Log10 EC50 of each perturbation and the slope that gradients found; none here."""
        return self.log_theta.new_zeros(0), 1.0

    def node_offset(self, covariates: Tensor | None) -> Tensor:
        """Shift of the node baselines by encoded covariates; none unless a space has it."""
        del covariates
        return torch.zeros_like(self.mechanism.offset)

    def dropout_logits(self, nodes: Tensor) -> Tensor | None:
        """Logits of extra zeros; ``None`` unless a space has them."""
        del nodes
        return None

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
            "proteins": tensors.get(SCVI_KEYS.PROTEIN_EXP_KEY),
        }

    @auto_move_data
    def _regular_inference(
        self,
        x: Tensor,
        batch_index: Tensor,
        cont_covs: Tensor | None = None,
        cat_covs: Tensor | None = None,
        size_factor: Tensor | None = None,
        proteins: Tensor | None = None,
        n_samples: int = 1,
    ) -> dict[str, Tensor | Distribution | None]:
        """Expression & covariates -> posterior of the nodes."""
        library = self.library(x, size_factor)
        mean, variance = self.posterior(
            self._normalise(x, library, proteins), batch_index, cont_covs, cat_covs
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
                None if self.training else self.likelihood.distribution(expression)
            ),
        }

    def covariates_of(self, tensors: dict[str, Tensor]) -> Tensor | None:
        """Encode the covariates of a minibatch, see :meth:`encode_covariates`."""
        return self.encode_covariates(
            tensors[SCVI_KEYS.BATCH_KEY],
            tensors.get(SCVI_KEYS.CONT_COVS_KEY),
            tensors.get(SCVI_KEYS.CAT_COVS_KEY),
        )

    @torch.no_grad()
    def cpu_covariates(self, tensors: dict[str, Tensor]) -> Tensor:
        """Encode the covariates of a minibatch on the CPU; no columns where there are none."""
        covariates = self.covariates_of(tensors)
        return tensors[SCVI_KEYS.X_KEY][:, :0] if covariates is None else covariates.cpu()

    def encode(self, tensors: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Posterior mean and variance of the nodes of a minibatch, both (n_cells, n_nodes)."""
        x = tensors[SCVI_KEYS.X_KEY]
        library = self.library(x, tensors.get(SCVI_KEYS.SIZE_FACTOR_KEY))
        return self.posterior(
            self._normalise(x, library, tensors.get(SCVI_KEYS.PROTEIN_EXP_KEY)),
            tensors[SCVI_KEYS.BATCH_KEY],
            tensors.get(SCVI_KEYS.CONT_COVS_KEY),
            tensors.get(SCVI_KEYS.CAT_COVS_KEY),
        )

    def decode(
        self,
        nodes: Tensor,
        log_library: Tensor,
        covariates: Tensor | None,
        gene_shift: Tensor | None = None,
    ) -> Expression:
        """Nodes & covariates -> parameters of the expression of each cell.

        Parameters
        ----------
        nodes
            Node values, shape ``(..., n_nodes)``.
        log_library
            Log total counts, shape ``(..., 1)``.
        covariates
            Output of :meth:`encode_covariates`.
        gene_shift
            What an intervention does to the genes themselves, beside what it does to the nodes: added
            to the log-rate of each gene (to its mean where it is transformed), broadcastable to
            ``(..., n_genes)``, on any device; ``None`` for nothing.

        Returns
        -------
        Parameters of the likelihood.
        """
        if covariates is not None and covariates.ndim < nodes.ndim:
            covariates = covariates.expand(*nodes.shape[:-1], -1)
        log_scale = self.log_scale(nodes, covariates)
        if gene_shift is not None:
            # Again shares that sum to one: what one gene gains, the total of a cell does not.
            log_scale = self.likelihood.log_scale(log_scale + gene_shift.to(log_scale))
        return Expression(
            log_scale=log_scale,
            log_library=log_library,
            log_theta=self.log_theta,
            dropout_logits=self.dropout_logits(nodes),
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
        return self.likelihood.library(x)

    def _normalise(self, x: Tensor, library: Tensor, proteins: Tensor | None = None) -> Tensor:
        x = self.likelihood.encoder_input(x, self.median_library / library)
        if self.protein_decoder is None or proteins is None:
            return x
        return torch.cat([x, self.protein_decoder.encoder_input(proteins)], -1)

    def _categories(self, batch_index: Tensor, cat_covs: Tensor | None) -> list[Tensor]:
        if cat_covs is None or cat_covs.shape[1] == 0:
            return [batch_index]
        covariates = list(cat_covs.split(1, dim=1))
        return [*covariates, batch_index]

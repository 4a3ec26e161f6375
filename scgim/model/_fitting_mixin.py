from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from scgim._validation import check_is_trained, warn
from scgim.model._calibration import calibrate_intervals
from scgim.model._global_state import one_thread
from scgim.model._parts import ModelParts
from scgim.model._training_statistics import TrainingStatistics
from scgim.module import change_basis, linear_loadings, loading_sd
from scgim.scm import (
    Gauge,
    GaugeProblem,
    GeneratorReport,
    InterventionFit,
    InterventionGenerator,
    find_gauges,
    find_tied_orders,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


logger = logging.getLogger(__name__)

MAX_NEAR_TIES = 8
MAX_AMBIGUOUS = 0.01
TARGET_SHIFT = 0.75
N_HIDDEN_CELLS = 4096


class FittingMixin(ModelParts):
    """What happens after the last epoch: intervention generator, intervals, gauge."""

    _interventions: InterventionFit | None

    def learn_interventions(self, dataloader: Iterable[dict[str, Tensor]] | None = None) -> None:
        """Re-estimate every intervention from all cells, and learn features -> interventions.

        Runs at the end of :meth:`train`, in about a second plus one pass over the cells: the
        rows of the seen perturbations by empirical Bayes with the feature prediction as prior,
        the generator for unseen ones (:class:`~scgim.scm.InterventionGenerator`), and the width
        of intervals from left-out perturbations.

        Parameters
        ----------
        dataloader
            Minibatches to use in place of the registered AnnData.
        """
        if dataloader is None:
            dataloader = self._make_data_loader(adata=self.adata, batch_size=2048)
        statistics = TrainingStatistics.collect(self.module, dataloader)
        if self.reference_statistics_ is not None:
            statistics = statistics.add(TrainingStatistics.from_dict(self.reference_statistics_))
        self.statistics_ = statistics.to_dict()
        self._forget_interventions()
        with one_thread():
            self._write_rows()
        self.calibration_ = calibrate_intervals(self)

    def fix_gauge(self, n_starts: int = 16, seed: int = 0) -> None:
        """Choose the basis of the nodes in which programs and interventions are sparse.

        In a linear-Gaussian latent causal model the basis is free. The one with the sparsest
        gene programs and shifts is searched from many starts and moved into the weights exactly:
        predictions do not change, targets and graph become readable. Bases that cost within 2 %
        of the best, and causal orders of its nodes that cost within 5 nats, are kept; what they
        disagree on is reported as ambiguous.

        Runs at the end of :meth:`train`. Does nothing when a program mask names the nodes.

        Parameters
        ----------
        n_starts
            Random starts of the search.
        seed
            Seed of the starts.

        Raises
        ------
        RuntimeError
            Before training.
        """
        check_is_trained(self, "fix_gauge")
        if self.screen.program_mask is not None:
            logger.info("The program mask names the nodes, so their basis is left as it is.")
            return
        problem = GaugeProblem(
            loadings=linear_loadings(self.module).cpu(),
            loading_sd=loading_sd(self.module).cpu(),
            shifts=self.module.interventions.saturating_shift.detach().double().cpu(),
            n_cells=torch.as_tensor(self._effective_cells()),
        )
        with one_thread():
            gauges = find_gauges(problem, n_starts=n_starts, seed=seed)
            tied_orders = find_tied_orders(problem, gauges[0])
        best = orient(problem, gauges[0])
        near = [gauge for gauge in gauges[1:] if gauge.is_near(gauges[0])]
        near = near[:MAX_NEAR_TIES] + tied_orders[:MAX_NEAR_TIES]
        device = self.module.device
        hidden = self._encoder_hidden().to(device)
        change_basis(self.module, Gauge(best.directions.to(device), best.cost), hidden)

        rotation = best.noise_rotation.numpy()
        self.statistics_["residual"] = self.statistics_["residual"] @ rotation
        self._forget_interventions()
        ties = [rotation.T @ gauge.directions.numpy() for gauge in near]
        n_nodes = len(rotation)
        self.gauge_ = {
            "costs": np.array([gauge.cost for gauge in gauges]),
            "near_ties": np.array(ties).reshape(-1, n_nodes, n_nodes),
            "directions": rotation.T @ best.directions.numpy(),
        }
        self._warn_if_ambiguous()

    def get_generator_report(self, n_permutations: int = 199, seed: int = 0) -> GeneratorReport:
        """Say how well the perturbation features predict the interventions.

        Parameters
        ----------
        n_permutations
            Permutations of the features between perturbations for the p value.
        seed
            Seed of the permutations.

        Returns
        -------
        Left-out R² of each member, their weights, the share of the variance between
        perturbations that features explain, and a p value.

        Raises
        ------
        RuntimeError
            Before training, or when the screen has no features or too few perturbations.
        """
        check_is_trained(self, "get_generator_report")
        return self.require_generator().report(n_permutations, seed)

    @property
    def interventions(self) -> InterventionFit:
        """Posterior rows of the seen perturbations, and the generator for unseen ones."""
        fit: InterventionFit | None = getattr(self, "_interventions", None)
        if fit is None:
            fit = self._fit_interventions()
            self._interventions = fit
        return fit

    def _forget_interventions(self) -> None:
        """Fit them again when they are next asked for."""
        self._interventions = None

    def _fit_interventions(self) -> InterventionFit:
        table = self.module.interventions
        statistics = TrainingStatistics.from_dict(self.statistics_)
        conditions = statistics.single_perturbations(self.screen)
        response = None
        if table.anchors is not None:
            index = torch.as_tensor(conditions.perturbation, device=table.anchors.device)
            log10_dose = torch.as_tensor(conditions.log10_dose, dtype=torch.float32)
            with torch.no_grad():
                curves = table.response(index, log10_dose.to(table.anchors.device))
            response = curves.double().cpu().numpy()
        fit = InterventionFit(
            conditions,
            response=response,
            shift=table.shift.detach().double().cpu().numpy().reshape(len(table.shift), -1),
            log10_ec50=self.statistics_["trained_log10_ec50"],
            hill=float(self.statistics_["trained_hill"]),
        )
        features = self.screen.seen_features
        if features is not None:
            fit.learn_generator(features, self.screen.feature_blocks)
        return fit

    @torch.no_grad()
    def _write_rows(self) -> None:
        """Move the posterior rows into the module, so that it predicts with them."""
        table, rows = self.module.interventions, self.interventions.rows

        def as_tensor(values: np.ndarray) -> Tensor:
            return torch.as_tensor(values, dtype=torch.float32, device=table.shift.device)

        table.shift.copy_(as_tensor(rows.shift).reshape(table.shift.shape))
        if table.anchors is None and len(self.screen.treated_doses):
            table.log10_ec50.copy_(as_tensor(rows.log10_ec50))
            table.set_hill(self.interventions.hill)

    def _effective_cells(self) -> np.ndarray:
        """Cells of each perturbation, weighed by the squared response at their dose."""
        statistics = self.interventions.statistics
        table = self.module.interventions
        index = torch.as_tensor(statistics.perturbation, device=table.shift.device)
        log10_dose = torch.as_tensor(statistics.log10_dose, dtype=torch.float32)
        with torch.no_grad():
            response = table.response(index, log10_dose.to(table.shift.device))
        strength = response.square().mean(-1).double().cpu().numpy()
        n_cells = np.ones(len(table.shift))
        np.add.at(n_cells, statistics.perturbation, statistics.n_cells * strength)
        return n_cells

    @torch.no_grad()
    def _encoder_hidden(self) -> Tensor:
        """Last hidden layer of the encoder for some cells, shape ``(n_cells, n_hidden)``."""
        rng = np.random.default_rng(0)
        n_obs = self.adata.n_obs
        indices = np.sort(rng.permutation(n_obs)[:N_HIDDEN_CELLS])
        loader = self._make_data_loader(adata=self.adata, indices=indices, batch_size=1024)
        return torch.cat([self.module.encoder_hidden(tensors).cpu() for tensors in loader])

    def _warn_if_ambiguous(self) -> None:
        targets = self.get_intervention_targets().ambiguous.to_numpy()
        edges = self.get_causal_graph("ambiguous").to_numpy()
        if max(targets.mean(), edges.mean()) > MAX_AMBIGUOUS:
            n_ties = len(self.gauge_["near_ties"])
            warn(
                f"{int(targets.sum())} of {targets.size} target calls and {int(edges.sum())} of "
                f"{edges.size} edge calls are ambiguous: {n_ties} other bases or causal orders of "
                "the nodes fit about as well as the best one and disagree on them. Predictions are "
                "not affected. Read the column `ambiguous` of `get_intervention_targets` and "
                "`get_causal_graph('ambiguous')`, and train with other seeds before trusting these "
                "calls."
            )

    def require_generator(self) -> InterventionGenerator:
        """Give the generator, or say why this model has none.

        Returns
        -------
        Features -> interventions.

        Raises
        ------
        RuntimeError
            When the screen has no features or too few perturbations.
        """
        generator = self.interventions.generator
        if generator is None:
            n = len(self.screen.table.perturbations)
            reason = (
                "no `features_key` was given to `GIM.setup_anndata`"
                if self.screen.table.features is None
                else f"the screen has only {n} perturbations and at least 4 are needed"
            )
            message = (
                f"This model cannot predict unseen perturbations: {reason}. Register a screen "
                "with perturbation features and train again."
            )
            raise RuntimeError(message)
        return generator


def orient(problem: GaugeProblem, gauge: Gauge) -> Gauge:
    """Choose the sign of each node so that its strongest genes go up."""
    loadings = problem.loadings @ torch.linalg.inv(gauge.directions).mT
    loadings = loadings - loadings.median(0).values
    sign = loadings.pow(3).sum(0).sign()
    return Gauge(gauge.directions * torch.where(sign == 0, 1.0, sign), gauge.cost)

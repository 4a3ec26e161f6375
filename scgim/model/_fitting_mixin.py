from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scgim.model._checks import check_is_trained
from scgim.model._parts import ModelParts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import Tensor

    from scgim.scm import GeneratorReport, InterventionFit, NamedNodeModel
    from scgim.spaces._fit import Fit
    from scgim.spaces._training_statistics import TrainingStatistics


class FittingMixin(ModelParts):
    """What happens after the last epoch: intervention generator, intervals, gauge."""

    fitted_: dict[str, Any] | None = None
    _fitted: Fit | None = None

    @property
    def fitted(self) -> Fit:
        """What was learned beside the weights, a :class:`~scgim.spaces.Fit`.

        Raises
        ------
        AttributeError
            Before training.
        """
        if self._fitted is None:
            if self.fitted_ is None:
                message = "The model has learned nothing yet. Call `GIM.train` first."
                raise AttributeError(message)
            self._fitted = self.space.read(self.module, self.fitted_)
        return self._fitted

    @fitted.setter
    def fitted(self, fit: Fit) -> None:
        self._fitted, self.fitted_ = fit, fit.to_state()

    def _read_fit(self) -> None:
        if self.fitted_ is not None:
            self._fitted = self.space.read(self.module, self.fitted_)
            if not self.space.trains_weights:
                _ = (
                    self._fitted.interventions
                )  # read from the file; of trained weights it is computed

    @property
    def _reference(self) -> TrainingStatistics | None:
        """Statistics of the model that was mapped on these cells, if it is a mapped one."""
        return None if self.fitted_ is None else self.fitted.reference

    def learn_interventions(self, dataloader: Iterable[dict[str, Tensor]] | None = None) -> None:
        """Re-estimate every intervention from all cells, and learn features -> interventions.

        Runs at the end of :meth:`train`, in about a second plus one pass over the cells: the
        rows of the seen perturbations by empirical Bayes with the feature prediction as prior,
        the generator for unseen ones (:class:`~scgim.scm.InterventionGenerator`), and the width
        of intervals from left-out perturbations. For ``causal_space="genes"`` the fit of targets
        and efficacies (:func:`~scgim.scm.fit_named_nodes`) is already final, and only the width
        of intervals is learned.

        Parameters
        ----------
        dataloader
            Minibatches to use in place of the registered AnnData.
        """
        batches = self._batches(2048) if dataloader is None else dataloader
        if self.fitted_ is None:
            self.fitted = self.space.fit(self.module, lambda *_: batches)
        else:
            self.fitted = self.space.refit(self.fitted, batches)

    def fix_gauge(self, n_starts: int = 16, seed: int = 0) -> None:
        """Choose the basis of the nodes in which programs and interventions are sparse.

        In a linear-Gaussian latent causal model the basis is free. The one with the sparsest
        gene programs and shifts is searched from many starts and moved into the weights exactly:
        predictions do not change, targets and graph become readable. Bases that cost within 2 %
        of the best, and causal orders of its nodes that cost within 5 nats, are kept; what they
        disagree on is reported as ambiguous.

        Runs at the end of :meth:`train`. Does nothing when genes or a program mask name the
        nodes.

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
        self.fitted = self.space.fix_gauge(self.fitted, self._batches, n_starts=n_starts, seed=seed)

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
        return self.fitted.report_generator(n_permutations, seed)

    @property
    def has_generator(self) -> bool:
        """Whether features tell what unseen perturbations do."""
        return self.fitted.has_generator

    def require_generator(self) -> object:
        """Give what predicts interventions from features, or say why this model has none.

        Returns
        -------
        Features -> interventions.

        Raises
        ------
        RuntimeError
            When the screen has no features or too few perturbations.
        """
        return self.fitted.require_generator()

    @property
    def interventions(self) -> InterventionFit | NamedNodeModel:
        """What was learned of the seen perturbations, and the generator for unseen ones."""
        return self.fitted.interventions

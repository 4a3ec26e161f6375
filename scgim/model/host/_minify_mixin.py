from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from scvi.model.base import BaseMinifiedModeModelClass

from scgim.model._checks import check_is_trained
from scgim.model._parts import ModelParts
from scgim.model.host._mudata_checks import check_can_minify

if TYPE_CHECKING:
    from collections.abc import Iterator

    from anndata import AnnData
    from scvi._types import MinifiedDataType


class MinifyMixin(ModelParts):
    """Cells that are replaced by the posterior of their nodes."""

    def minify_adata(
        self,
        minified_data_type: MinifiedDataType = "latent_posterior_parameters",
        use_latent_qzm_key: str = "X_latent_qzm",
        use_latent_qzv_key: str = "X_latent_qzv",
    ) -> None:
        """Keep the posterior of the nodes in place of the counts.

        The model gets a new, small AnnData; the one that it was trained on stays as it is.
        Predictions, targets and graph do not change.

        Parameters
        ----------
        minified_data_type
            ``"latent_posterior_parameters"``, or ``"latent_posterior_parameters_with_counts"`` to
            keep the counts beside the posterior.
        use_latent_qzm_key
            Entry of ``obsm`` with posterior means; computed where there is none.
        use_latent_qzv_key
            Entry of ``obsm`` with posterior variances; computed where there is none.

        Raises
        ------
        ValueError
            For named genes, which are their own representation; for RNA and protein; for a model
            without cells, or with minified ones.
        RuntimeError
            Before training.
        """
        self.space.check_can_minify()
        check_is_trained(self, "minify_adata")
        check_can_minify(self.adata, is_minified=self.minified_data_type is not None)
        keys = (use_latent_qzm_key, use_latent_qzv_key)
        with self._posterior_in(self.adata, keys):
            # by name, since scvi-tools wants its own class behind all mixins
            BaseMinifiedModeModelClass.minify_adata(self, minified_data_type, *keys)

    @contextmanager
    def _posterior_in(self, cells: AnnData, keys: tuple[str, str]) -> Iterator[None]:
        """Lend scvi-tools the posterior in ``obsm``, from where it reads it."""
        missing = [key for key in keys if key not in cells.obsm]
        if missing:
            posterior = dict(
                zip(keys, self.get_latent_representation(return_dist=True), strict=True)
            )
            cells.obsm.update({key: posterior[key] for key in missing})
        try:
            yield
        finally:
            for key in missing:
                del cells.obsm[key]

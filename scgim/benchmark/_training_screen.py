"""What baselines may know: summaries of the training cells of a screen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import PCA

from scgim._validation._benchmark import check_has_features, check_screen_labels
from scgim.data import split_combination

if TYPE_CHECKING:
    import anndata as ad
    from numpy.typing import NDArray

N_COMPONENTS = 20


@dataclass(frozen=True)
class ScreenKeys:
    """Where an AnnData keeps the design of a screen.

    Attributes
    ----------
    perturbation
        Column of ``obs`` that names the perturbation.
    control
        Label of the control cells.
    dose
        Column of ``obs`` with the dose, ``None`` without doses.
    features
        Entry of ``uns`` with one row of features per perturbation.
    """

    perturbation: str = "drug"
    control: str = "vehicle"
    dose: str | None = "dose"
    features: str = "drug_features"


def log_normalize(counts: NDArray[np.float32] | sp.spmatrix | sp.sparray) -> NDArray[np.float32]:
    """Turn counts into log1p(CP10k).

    Parameters
    ----------
    counts
        Sparse or dense counts, shape ``(n_cells, n_genes)``.

    Returns
    -------
    Dense expression, same shape.
    """
    dense = counts if isinstance(counts, np.ndarray) else counts.toarray()
    library = np.maximum(dense.sum(axis=1, keepdims=True), 1.0)
    return np.log1p(dense * (1e4 / library)).astype(np.float32)


@dataclass(frozen=True)
class TrainingScreen:
    """The training cells of a screen and what can be computed from them alone.

    Attributes
    ----------
    adata
        The training cells, counts in ``X``; never changed.
    keys
        Where the design is.
    """

    adata: ad.AnnData
    keys: ScreenKeys = ScreenKeys()

    def __post_init__(self) -> None:
        """Check that there is something to compare."""
        labels = self.adata.obs[self.keys.perturbation].astype(str).unique().tolist()
        check_screen_labels(self.keys.perturbation, labels, self.keys.control)

    @cached_property
    def expression(self) -> NDArray[np.float32]:
        """log1p(CP10k) of all training cells, shape ``(n_cells, n_genes)``."""
        return log_normalize(self.adata.X)

    @cached_property
    def is_control(self) -> NDArray[np.bool_]:
        """Whether a cell is a control cell, shape ``(n_cells,)``."""
        return (self.adata.obs[self.keys.perturbation].astype(str) == self.keys.control).to_numpy()

    @cached_property
    def control_mean(self) -> NDArray[np.float64]:
        """Mean expression of the control cells, shape ``(n_genes,)``."""
        return self.expression[self.is_control].mean(axis=0, dtype=np.float64)

    @cached_property
    def pca(self) -> PCA:
        """Principal components of the training cells."""
        n_components = min(N_COMPONENTS, *self.expression.shape)
        return PCA(n_components, svd_solver="covariance_eigh").fit(self.expression)

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """Treated conditions: columns ``perturbation``, ``dose`` and ``n_cells``."""
        return self._grouped[0]

    @cached_property
    def shift(self) -> NDArray[np.float64]:
        """Mean shift of each treated condition from the control, ``(n_conditions, n_genes)``."""
        return self._grouped[1]

    @cached_property
    def features(self) -> pd.DataFrame:
        """Features of all perturbations as they were given."""
        table = self.adata.uns[self.keys.features]
        return table.set_index(table.index.astype(str))

    @cached_property
    def standardized_features(self) -> pd.DataFrame:
        """Features of all perturbations, standardised on those seen in training."""
        seen = {name for label in self.conditions["perturbation"] for name in self.split(label)}
        check_has_features(sorted(seen), self.features.index)
        training = self.features.loc[sorted(seen)]
        return (self.features - training.mean()) / training.std(ddof=0).replace(0.0, 1.0)

    def split(self, label: str) -> list[str]:
        """Name the single perturbations of a label, the control left out.

        Parameters
        ----------
        label
            A perturbation, or several as ``"A+B"``.

        Returns
        -------
        Their names; nothing for the control.
        """
        parts = split_combination(label, self.features.index)
        return [name for name in parts if name != self.keys.control]

    def log10_dose(self, dose: NDArray[np.float64]) -> NDArray[np.float64]:
        """Put doses on the scale on which baselines interpolate.

        Parameters
        ----------
        dose
            Doses above 0.

        Returns
        -------
        log10 of the doses; zeros for a screen without doses.
        """
        return np.zeros(len(dose)) if self.keys.dose is None else np.log10(dose)

    @cached_property
    def _grouped(self) -> tuple[pd.DataFrame, NDArray[np.float64]]:
        obs = self.adata.obs
        dose = np.ones(len(obs)) if self.keys.dose is None else obs[self.keys.dose].to_numpy(float)
        design = pd.DataFrame(
            {"perturbation": obs[self.keys.perturbation].astype(str).to_numpy(), "dose": dose}
        )
        treated = design[~self.is_control]
        group = treated.groupby(["perturbation", "dose"], sort=True)
        conditions = group.size().rename("n_cells").reset_index()
        code = group.ngroup().to_numpy()
        n_cells = conditions["n_cells"].to_numpy()
        membership = sp.csr_matrix(
            (1.0 / n_cells[code], (code, np.arange(len(code)))), shape=(len(n_cells), len(code))
        )
        return conditions, membership @ self.expression[~self.is_control] - self.control_mean

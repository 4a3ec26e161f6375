"""What baselines may know: summaries of the training cells of a screen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import scipy.sparse as sp
from sklearn.decomposition import PCA

from scgim._messages import closest
from scgim.data import split_combination
from scgim.data._doses import read_doses
from scgim.data._screen import number_blocks
from scgim.evaluation._checks import check_has_features, check_screen_labels
from scgim.evaluation._expression_space import (
    Space,
    detect_space,
    log_normalize,
    read_expression,
)

if TYPE_CHECKING:
    from collections.abc import Collection

    import anndata as ad
    from numpy.typing import NDArray

__all__ = ["ScreenKeys", "TrainingScreen", "log_normalize"]

N_COMPONENTS = 20
N_FEATURE_COMPONENTS = 40


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
        Entry of ``uns`` with one row of features per perturbation, ``None`` without features.
    context
        Column of ``obs`` with contexts such as cell lines, each with control cells of its own;
        ``None`` for one context.
    layer
        Layer with the expression, ``None`` for ``X``.
    """

    perturbation: str = "drug"
    control: str = "vehicle"
    dose: str | None = "dose"
    features: str | None = "drug_features"
    context: str | None = None
    layer: str | None = None

    @property
    def design(self) -> list[str]:
        """Columns of ``obs`` that tell conditions apart: perturbation, dose and context."""
        columns = (self.perturbation, self.dose, self.context)
        return [column for column in columns if column is not None]

    def plain(self, conditions: pd.DataFrame) -> pd.DataFrame:
        """Name the design of conditions in scgim's own words.

        Parameters
        ----------
        conditions
            Columns named as in ``obs``; a context that is not asked for stays empty.

        Returns
        -------
        Columns ``perturbation``, ``dose`` (1 without doses) and ``context``, index 0, 1, …
        """
        n_rows = len(conditions)
        dose = np.ones(n_rows) if self.dose is None else read_doses(conditions[self.dose])
        has_context = self.context is not None and self.context in conditions
        context = conditions[self.context].astype(str).to_numpy() if has_context else [""] * n_rows
        labels = conditions[self.perturbation].astype(str).to_numpy()
        return pd.DataFrame({"perturbation": labels, "dose": dose, "context": context})

    def named(self, plain: pd.DataFrame) -> pd.DataFrame:
        """Name the design of conditions as in ``obs``; the opposite of :meth:`plain`.

        Parameters
        ----------
        plain
            Columns ``perturbation``, ``dose`` and ``context``.

        Returns
        -------
        Columns of :attr:`design`.
        """
        names = {"perturbation": self.perturbation, "dose": self.dose, "context": self.context}
        kept = {word: column for word, column in names.items() if column is not None}
        return plain[list(kept)].rename(columns=kept)


@dataclass(frozen=True)
class TrainingScreen:
    """The training cells of a screen and what can be computed from them alone.

    Attributes
    ----------
    adata
        The training cells; never changed.
    keys
        Where the design is.
    """

    adata: ad.AnnData
    keys: ScreenKeys = ScreenKeys()

    def __post_init__(self) -> None:
        """Check that there is something to compare."""
        labels = self.adata.obs[self.keys.perturbation].astype(str).unique().tolist()
        check_screen_labels(self.keys.perturbation, labels, self.keys.control)
        check_has_feature_table(self.keys.features, list(self.adata.uns))

    @cached_property
    def space(self) -> Space:
        """What the expression is, see :func:`~scgim.evaluation._expression_space.detect_space`."""
        layer = self.keys.layer
        return detect_space(self.adata.X if layer is None else self.adata.layers[layer])

    @cached_property
    def expression(self) -> NDArray[np.float32]:
        """log1p(CP10k) of counts, other spaces as they are, shape ``(n_cells, n_genes)``."""
        return read_expression(self.adata, self.keys.layer, self.space)

    @cached_property
    def is_control(self) -> NDArray[np.bool_]:
        """Whether a cell is a control cell, shape ``(n_cells,)``."""
        return (self.adata.obs[self.keys.perturbation].astype(str) == self.keys.control).to_numpy()

    @cached_property
    def control_mean(self) -> NDArray[np.float64]:
        """Mean expression of all control cells, shape ``(n_genes,)``."""
        return self.expression[self.is_control].mean(axis=0, dtype=np.float64)

    @cached_property
    def contexts(self) -> list[str]:
        """Names of the contexts of the training cells, ``""`` alone without contexts."""
        return sorted(self._design["context"].unique())

    def control_cells(self, context: str) -> NDArray[np.int64]:
        """Find the control cells of a context.

        Parameters
        ----------
        context
            Name of the context; ``""`` stands for all of them.

        Returns
        -------
        Row numbers of the cells.
        """
        is_in = self.is_control & ((self._design["context"] == context).to_numpy() | (not context))
        check_has_control_cells(self.keys.context, context, n_cells=int(is_in.sum()))
        return np.flatnonzero(is_in)

    def control_mean_of(self, context: str) -> NDArray[np.float64]:
        """Mean expression of the control cells of a context.

        Parameters
        ----------
        context
            Name of the context; ``""`` stands for all of them.

        Returns
        -------
        Mean, shape ``(n_genes,)``.
        """
        if context not in self._control_means:
            cells = self.expression[self.control_cells(context)]
            self._control_means[context] = cells.mean(axis=0, dtype=np.float64)
        return self._control_means[context]

    @cached_property
    def pca(self) -> PCA:
        """Principal components of the training cells."""
        n_components = min(N_COMPONENTS, *self.expression.shape)
        return PCA(n_components, svd_solver="covariance_eigh").fit(self.expression)

    @cached_property
    def conditions(self) -> pd.DataFrame:
        """Treated conditions: columns ``perturbation``, ``dose``, ``context`` and ``n_cells``."""
        return self._grouped[0]

    @cached_property
    def shift(self) -> NDArray[np.float64]:
        """Mean shift of each treated condition from the control cells of its context.

        Shape ``(n_conditions, n_genes)``.
        """
        return self._grouped[1]

    @property
    def has_features(self) -> bool:
        """Whether the screen has features of perturbations."""
        return self.keys.features is not None

    @cached_property
    def features(self) -> pd.DataFrame:
        """Features of all perturbations as they were given, without columns where there are none."""
        if self.keys.features is None:
            return pd.DataFrame(index=pd.Index([], dtype=str))
        table = self.adata.uns[self.keys.features]
        return table.set_index(table.index.astype(str))

    @property
    def feature_blocks(self) -> NDArray[np.int64]:
        """Block of each feature, columns that share the text before a ``:``; ``(n_features,)``."""
        return number_blocks(self.features.columns)

    @cached_property
    def standardized_features(self) -> pd.DataFrame:
        """Features of all perturbations, standardised on those seen in training."""
        seen = {name for label in self.conditions["perturbation"] for name in self.split(label)}
        check_has_features(sorted(seen), self.features.index)
        training = self.features.loc[sorted(seen)]
        return (self.features - training.mean()) / training.std(ddof=0).replace(0.0, 1.0)

    @cached_property
    def condensed_features(self) -> pd.DataFrame:
        """Standardised features, fingerprints by 40 principal components of the training perturbations.

        So many bits drown a network of few perturbations.
        """
        features = self.standardized_features
        names = self.features.columns[self.features.isin([0, 1]).all()]
        if len(names) <= N_FEATURE_COMPONENTS:
            return features
        seen = {name for label in self.conditions["perturbation"] for name in self.split(label)}
        training = self.features.loc[sorted(seen), names].astype(float)
        pca = PCA(min(N_FEATURE_COMPONENTS, len(training)), svd_solver="full").fit(training)
        scores = pca.transform(self.features[names].astype(float))
        scale = np.sqrt(pca.explained_variance_.mean())
        components = pd.DataFrame(scores / scale, index=features.index).add_prefix("component_")
        return features.drop(columns=names).join(components)

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
        known = {self.keys.control, *self.features.index}
        return [name for name in split_combination(label, known) if name != self.keys.control]

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
    def _control_means(self) -> dict[str, NDArray[np.float64]]:
        return {}

    @cached_property
    def _design(self) -> pd.DataFrame:
        return self.keys.plain(self.adata.obs)

    @cached_property
    def _grouped(self) -> tuple[pd.DataFrame, NDArray[np.float64]]:
        treated = self._design[~self.is_control]
        group = treated.groupby(["perturbation", "dose", "context"], sort=True)
        conditions = group.size().rename("n_cells").reset_index()
        mean = group_means(
            self.expression[~self.is_control], group.ngroup().to_numpy(), len(conditions)
        )
        control = [self.control_mean_of(context) for context in conditions["context"]]
        return conditions, mean - np.array(control)


def group_means(
    values: NDArray[np.floating], group: NDArray[np.int64], n_groups: int
) -> NDArray[np.float64]:
    """Average rows by group.

    Parameters
    ----------
    values
        Shape ``(n_rows, n_columns)``.
    group
        Number of the group of each row.
    n_groups
        Number of groups; an empty one has the mean 0.

    Returns
    -------
    Means, shape ``(n_groups, n_columns)``.
    """
    n_rows = np.bincount(group, minlength=n_groups)
    membership = sp.csr_matrix(
        (1.0 / n_rows[group], (group, np.arange(len(group)))), shape=(n_groups, len(group))
    )
    return membership @ values


def check_has_feature_table(key: str | None, tables: Collection[str]) -> None:
    """Raise if the features of perturbations are not where they are said to be.

    Parameters
    ----------
    key
        Entry of ``uns``; ``None`` without features.
    tables
        Entries of ``uns``.
    """
    if key is not None and key not in tables:
        msg = (
            f"`features={key!r}` is not an entry of `adata.uns`. The entries closest to it are "
            f"{closest(key, tables)}. Pass one of them, or `features=None` for a screen without features."
        )
        raise ValueError(msg)


def check_has_control_cells(argument: str | None, context: str, *, n_cells: int) -> None:
    """Raise if a context has no control cells to compare with.

    Parameters
    ----------
    argument
        Column of ``obs`` with contexts.
    context
        Name of the context.
    n_cells
        Control cells in it.
    """
    if n_cells == 0:
        msg = (
            f"No control cell of `adata` has {context!r} in `adata.obs[{argument!r}]`, so effects "
            "there have nothing to be compared with. Add control cells of this context, or leave it "
            "out."
        )
        raise ValueError(msg)

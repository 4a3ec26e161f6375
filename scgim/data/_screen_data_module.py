from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from anndata import AnnData
from lightning.pytorch import LightningDataModule
from scvi import REGISTRY_KEYS as SCVI_KEYS

from scgim._constants import REGISTRY_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor


@dataclass(frozen=True)
class StreamedScreen:
    """What one pass over streamed cells tells of a screen.

    Attributes
    ----------
    cells
        Columns of all cells and names of the genes, without expression.
    gene_total
        Sum of each gene, shape ``(n_genes,)``.
    median_library
        Median of the total counts.
    """

    cells: AnnData
    gene_total: np.ndarray
    median_library: float

    @classmethod
    def read(cls, datamodule: Any, dose_key: str | None) -> StreamedScreen:
        """Go once over the cells of a data module of scvi-tools.

        Parameters
        ----------
        datamodule
            Data module whose labels are perturbations.
        dose_key
            Continuous covariate with doses, or ``None``.

        Returns
        -------
        The screen.
        """
        fields = datamodule.registry["field_registries"]
        columns: list[pd.DataFrame] = []
        libraries: list[np.ndarray] = []
        gene_total = np.zeros(fields["X"]["state_registry"]["n_vars"])
        for tensors in datamodule.inference_dataloader():
            columns.append(_decode(tensors, fields))
            expression = tensors[SCVI_KEYS.X_KEY].double()
            libraries.append(expression.sum(1).cpu().numpy())
            gene_total += expression.sum(0).cpu().numpy()
        obs = pd.concat(columns, ignore_index=True)
        obs = _as_categories(obs, fields).set_axis(obs.index.map(str))
        if dose_key is not None:
            # The shortest decimal of a 32-bit dose is the one that was written.
            doses = obs[dose_key].to_numpy(np.float32)
            obs[dose_key] = [float(str(dose)) for dose in doses]
        names = [str(name) for name in fields["X"]["state_registry"]["column_names"]]
        empty = sp.csr_matrix((len(obs), len(names)), dtype=np.float32)
        cells = AnnData(empty, obs=obs, var=pd.DataFrame(index=names))
        return cls(cells, gene_total, float(np.median(np.concatenate(libraries))))


class ScreenDataModule(LightningDataModule):
    """A data module of scvi-tools, read as a perturbation screen.

    Data modules of scvi-tools stream cells from disk and know labels, batches and covariates, but
    no perturbations. Here their labels are the perturbations, one of their continuous covariates
    is the dose, and the features of the perturbations are in the registry, once.

    Parameters
    ----------
    datamodule
        For example :class:`scvi.dataloaders.AnnbatchDataModule`.
    registry
        Registry of the screen, from which a model is built.
    dose_key
        Continuous covariate with doses, or ``None``.
    """

    def __init__(self, datamodule: Any, registry: dict[str, Any], dose_key: str | None) -> None:
        super().__init__()
        self.datamodule = datamodule
        self.registry = registry
        continuous = _continuous(datamodule.registry["field_registries"])
        self._dose_column = None if dose_key is None else continuous.index(dose_key)
        fields = registry.get("field_registries", {})
        state = fields.get(SCVI_KEYS.CONT_COVS_KEY, {}).get("state_registry", {})
        n_covariates = len(continuous) - (dose_key is not None)
        self._scaling = (
            np.asarray(state.get("center", np.zeros(n_covariates))),
            np.asarray(state.get("scale", np.ones(n_covariates))),
        )

    @property
    def n_obs(self) -> int:
        """Number of cells."""
        return int(self.datamodule.n_obs)

    @property
    def n_vars(self) -> int:
        """Number of genes."""
        return int(self.datamodule.n_vars)

    def set_split(self, **options: Any) -> None:
        """Choose training and validation cells, where the data module can."""
        if hasattr(self.datamodule, "set_split"):
            self.datamodule.set_split(**options)

    def set_batch_size(self, batch_size: int | None = None) -> None:
        """Choose the number of cells per minibatch, where the data module can."""
        if hasattr(self.datamodule, "set_batch_size"):
            self.datamodule.set_batch_size(batch_size)

    def setup(self, stage: str | None = None) -> None:
        """Let the data module prepare itself."""
        self.datamodule.setup(stage)

    def train_dataloader(self) -> Any:
        """Load cells to train on."""
        return self.datamodule.train_dataloader()

    def val_dataloader(self) -> Any:
        """Load held-out cells."""
        return self.datamodule.val_dataloader()

    def on_before_batch_transfer(self, batch: Any, dataloader_idx: int) -> dict[str, Tensor]:
        """Bring a minibatch to the names of a screen."""
        return self.translate(self.datamodule.on_before_batch_transfer(batch, dataloader_idx))

    def inference_dataloader(self) -> Iterator[dict[str, Tensor]]:
        """Go over all cells, in minibatches that a model can read."""
        for tensors in self.datamodule.inference_dataloader():
            yield self.translate(tensors)

    def translate(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """Rename labels to perturbations and take the dose out of the covariates.

        Parameters
        ----------
        tensors
            Minibatch of the data module.

        Returns
        -------
        Minibatch of a screen. Total counts are those of the cells, not the size factors that
        data modules add.
        """
        kept = (SCVI_KEYS.X_KEY, SCVI_KEYS.BATCH_KEY, SCVI_KEYS.CAT_COVS_KEY)
        batch = {key: tensors[key] for key in kept if tensors.get(key) is not None}
        batch[REGISTRY_KEYS.PERTURBATION] = tensors[SCVI_KEYS.LABELS_KEY]
        continuous = tensors.get(SCVI_KEYS.CONT_COVS_KEY)
        if continuous is None:
            return batch
        if self._dose_column is not None:
            dose = self._dose_column
            batch[REGISTRY_KEYS.DOSE] = continuous[:, dose : dose + 1]
            continuous = continuous[:, [i for i in range(continuous.shape[1]) if i != dose]]
        if continuous.shape[1]:
            center, scale = (continuous.new_tensor(part) for part in self._scaling)
            batch[SCVI_KEYS.CONT_COVS_KEY] = (continuous - center) / scale
        return batch


def streamed_keys(datamodule: Any, dose_key: str | None) -> dict[str, Any]:
    """Say which columns a data module streams, as the arguments of ``setup_anndata``.

    Parameters
    ----------
    datamodule
        Data module of scvi-tools.
    dose_key
        Continuous covariate with doses, or ``None``.

    Returns
    -------
    ``perturbation_key``, ``batch_key`` and the keys of covariates.
    """
    arguments = datamodule.registry["setup_args"]
    fields = datamodule.registry["field_registries"]
    continuous = [key for key in _continuous(fields) if key != dose_key]
    return {
        "perturbation_key": fields[SCVI_KEYS.LABELS_KEY]["state_registry"]["original_key"],
        "batch_key": arguments.get("batch_key"),
        "categorical_covariate_keys": list(_categories_of_covariates(fields)) or None,
        "continuous_covariate_keys": continuous or None,
    }


def _continuous(fields: dict) -> list[str]:
    state = fields.get(SCVI_KEYS.CONT_COVS_KEY, {}).get("state_registry", {})
    return [str(name) for name in state.get("columns", ())]


def _categories_of_covariates(fields: dict) -> dict[str, list[str]]:
    state = fields.get(SCVI_KEYS.CAT_COVS_KEY, {}).get("state_registry", {})
    return {str(key): list(values) for key, values in state.get("mapping", {}).items()}


def _decode(tensors: dict[str, Tensor], fields: dict) -> pd.DataFrame:
    """Columns of a minibatch, categories as codes."""
    columns: dict[str, np.ndarray] = {}
    for key in (SCVI_KEYS.LABELS_KEY, SCVI_KEYS.BATCH_KEY):
        name = fields[key]["state_registry"]["original_key"]
        columns[name] = tensors[key].reshape(-1).long().cpu().numpy()
    for column, name in enumerate(_categories_of_covariates(fields)):
        columns[name] = tensors[SCVI_KEYS.CAT_COVS_KEY][:, column].long().cpu().numpy()
    for column, name in enumerate(_continuous(fields)):
        columns[name] = tensors[SCVI_KEYS.CONT_COVS_KEY][:, column].cpu().numpy()
    return pd.DataFrame(columns)


def _as_categories(obs: pd.DataFrame, fields: dict) -> pd.DataFrame:
    """Codes -> categories in the order of the data module, which its minibatches follow."""
    categories = _categories_of_covariates(fields)
    for key in (SCVI_KEYS.LABELS_KEY, SCVI_KEYS.BATCH_KEY):
        state = fields[key]["state_registry"]
        categories[state["original_key"]] = list(state["categorical_mapping"])
    for name, values in categories.items():
        # Data modules add a category for cells without label, which a screen does not have.
        n_used = int(obs[name].max()) + 1
        obs[name] = pd.Categorical.from_codes(obs[name], [str(v) for v in values[:n_used]])
    return obs
